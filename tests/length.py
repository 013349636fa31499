"""How long runs are: short in `make test`, whole in `make test-full`, which sets FULL=1."""

import os
from typing import TypeVar

T = TypeVar("T")
FULL = os.environ.get("FULL") == "1"


def lasting(short: T, full: T) -> T:
    return full if FULL else short
