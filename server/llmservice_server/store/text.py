"""Texts as every database takes them: one that it refuses would hold up all others of its batch."""


def kept(text: str, length: int | None = None) -> str:
    """The text without what no database holds, and no longer than that."""
    return text.encode(errors="replace").decode().replace("\0", "?")[:length]
