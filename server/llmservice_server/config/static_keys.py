"""Keys that a Secret holds in plain text: one alone, or lines of ``NAME: KEY``. Pure."""

import re

from llmservice_server.config.faults import ConfigError

ALONE = "default"
"""The name of a key that has none."""
_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62}): +(\S+)")
_SHORTEST = 8  # characters; what is shorter is guessed, and masked in no text


def static_keys(text: str, field: str) -> tuple[tuple[str, str], ...]:
    """Each name with its key; a name may have several, as while one takes another's place.

    Raises:
        ConfigError: what is wrong with which line; no key is repeated.
    """
    lines = [line.strip() for line in text.splitlines()]
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        named = _LINE.fullmatch(line)
        name, key = (named[1], named[2]) if named else (ALONE, line)
        if " " in key or (named is None and len(lines) > 1):
            raise ConfigError(f"{field}: line {number} is no key; write NAME: KEY")
        if len(key) < _SHORTEST:
            raise ConfigError(f"{field}: the key in line {number} is shorter than {_SHORTEST}")
        if key in found:
            raise ConfigError(f"{field}: the key in line {number} is there twice; write it once")
        found[key] = name
    if not found:
        raise ConfigError(f"{field}: holds no key; write one, or lines of NAME: KEY")
    return tuple((name, key) for key, name in found.items())
