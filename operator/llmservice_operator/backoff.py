"""How long to wait after the nth failure in a row; pure but for its jitter."""

import random


def seconds(failures: int, first: float, longest: float) -> float:
    """`first` doubled with each failure after the first, at most `longest`, less up to half.

    The jitter keeps those that failed together from coming back together.
    """
    doublings = min(failures - 1, 30)  # an outage of days must not overflow a float
    return min(first * 2**doublings, longest) * random.uniform(0.5, 1)  # noqa: S311
