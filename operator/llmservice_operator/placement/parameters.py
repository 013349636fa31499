"""How many parameters a model has, as far as its name tells."""

import re

# 7B, 0.5b, 135M, 8x7B; not the A3B of 30B-A3B, which counts active parameters, nor v2 or 128k.
_SIZE = re.compile(
    r"(?<![A-Za-z0-9.])(?:(\d{1,3})x)?(\d{1,5}(?:\.\d{1,3})?)([bm])(?![a-z0-9])", re.IGNORECASE
)
_UNITS = {"m": 10**6, "b": 10**9}


def parameter_count(uri: str) -> int | None:
    """Parameters of the model at uri by its name's largest size, or None where it names none."""
    sizes = [
        int(experts or 1) * float(size) * _UNITS[unit.lower()]
        for experts, size, unit in _SIZE.findall(uri)
    ]
    return round(max(sizes)) if sizes else None
