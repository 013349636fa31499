"""Why the store did not do what was asked; each text is a sentence for people, without secrets."""


class StoreError(Exception):
    """It cannot now: the database is away, too slow, or its disk is full. Nothing was changed."""


class RefusedError(Exception):
    """It never will: what was asked for cannot be. The text says what to do instead."""


class AbsentError(RefusedError):
    """There is nothing by that name."""


class TakenError(RefusedError):
    """What is there already, or depends on it, is in the way."""
