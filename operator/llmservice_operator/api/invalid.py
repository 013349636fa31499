"""The one error for a resource that cannot be rendered."""


class InvalidSpec(ValueError):  # noqa: N818  the name of a reason too
    """The resource asks for what cannot be. Its text is a sentence that says what to write."""
