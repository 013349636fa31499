"""The one error for a resource that cannot be rendered."""


class InvalidSpec(ValueError):
    """The resource asks for what cannot be. Its text is a sentence that says what to write."""
