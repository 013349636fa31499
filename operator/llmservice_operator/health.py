"""Is this process still at work? What /healthz says, so that the kubelet starts a new one. Pure.

What hangs cannot tell of itself: a reconcile that never ends keeps its worker and its resource, a
watch that is silent for good makes us blind to its kind, and neither shows in any error.
"""

from collections.abc import Iterable

STUCK = 600.0
"""Seconds: far longer than all requests of a reconcile take, each at its limit."""
DEAD = 600.0
"""Seconds: a living watch gives an event, a bookmark, a new stream or a failure far sooner."""


def faults(held: Iterable[tuple[object, float]], silent: Iterable[tuple[str, float]]) -> list[str]:
    """A sentence for each thing that hangs.

    held: what workers are on, and for how many seconds. silent: the watches, and for how many.
    """
    stuck = ((key, seconds) for key, seconds in held if seconds > STUCK)
    dead = ((what, seconds) for what, seconds in silent if seconds > DEAD)
    return [
        *(f"the reconcile of {key} has not ended for {seconds:.0f} s" for key, seconds in stuck),
        *(f"the watch of {what} gave no sign for {seconds:.0f} s" for what, seconds in dead),
    ]
