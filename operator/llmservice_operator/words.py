"""Somebody else's words, as they may stand in a status. Pure."""

_LONGEST = 500  # characters


def shortened(words: str) -> str:
    """On one line, and no longer than a condition should be."""
    line = " ".join(words.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
