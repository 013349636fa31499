"""Kubernetes quantities, as 20Gi, 500m or 1e3: checked, and read as exact numbers.

The grammar is apimachinery's (pkg/api/resource/quantity.go), without a sign: nothing here may be
negative. What is above 2^63-1 base units, which apimachinery silently takes for that, is refused.
"""

import re
from decimal import Decimal

_FORM = re.compile(r"(\d+\.?\d*|\.\d+)(?:([KMGTPE]i|[numkMGTPE])|[eE]([+-]?\d+))?", re.ASCII)
_BINARY = {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)}
_DECIMAL = {unit: Decimal(1000) ** power for power, unit in enumerate(("n", "u", "m"), -3)}
_LIMIT = 2**63 - 1
_LARGEST_EXPONENT = 99  # far beyond the limit, and still cheap to reckon with
_FACTORS = _BINARY | _DECIMAL | {unit: Decimal(1000) ** p for p, unit in enumerate("kMGTPE", 1)}


def parse(value: object) -> Decimal:
    """The number that a quantity stands for, in its base unit (cores, bytes, pieces).

    Raises ValueError when it is none.
    """
    match = _FORM.fullmatch(str(value))
    if match is None:
        raise ValueError("not a quantity; write a number with a unit, as 500m, 2 or 20Gi")
    number, unit, exponent = match.groups()
    power = min(int(exponent or 0), _LARGEST_EXPONENT)
    found = Decimal(number) * (_FACTORS[unit] if unit else Decimal(10) ** power)
    if found > _LIMIT:
        raise ValueError("not a quantity that any node has: write less than 8Ei")
    return found


def normalized(value: object) -> str:
    """The quantity as text. Raises ValueError when it is none."""
    parse(value)
    return str(value)
