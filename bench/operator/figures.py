"""What was measured, what it should be, and the row of both. Pure.

A verdict is given only where there is a target; what was not measured is said to be so, and is
never met.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.table import number

WIDTHS = 1000, 5000
MEMORY = 150.0, 400.0  # MiB at so many resources; between and beyond them linear
CPU_SECONDS = 25.0  # for 1,000 resources to converge


@dataclass(frozen=True)
class Figure:
    """value: None where it could not be measured. floor: the same without operator; the target is
    then of the ratio of both. below: the target is not reached but kept under. rival: the best of
    the operators that facts are known of, at 1,000 resources.
    """

    what: str
    value: float | None
    unit: str = ""
    floor: float | None = None
    target: float | None = None
    below: bool = False
    rival: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.value is not None and self.floor else None

    @property
    def met(self) -> bool | None:
        """None where there is no target."""
        if self.target is None:
            return None
        judged = self.value if self.floor is None else self.ratio
        if judged is None:
            return False
        return judged < self.target if self.below else judged <= self.target


HEAD = ("what", "measured", "floor", "ratio", "target", "", "best rival")


def row(figure: Figure) -> tuple[str, ...]:
    sign = "<" if figure.below else "≤"
    unit = "times" if figure.floor is not None else figure.unit
    target = "" if figure.target is None else f"{sign} {number(figure.target, unit)}"
    return (
        figure.what,
        "not measured" if figure.value is None else number(figure.value, figure.unit),
        "" if figure.floor is None else number(figure.floor, figure.unit),
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        target,
        {None: "", True: "met", False: "MISSED"}[figure.met],
        figure.rival,
    )


def memory_target(resources: int) -> float:
    """MiB."""
    (few, many), (little, much) = WIDTHS, MEMORY
    return little + max(0, resources - few) * (much - little) / (many - few)


def cpu_target(resources: int) -> float:
    """Seconds."""
    return CPU_SECONDS * resources / 1000


def busy_until(samples: Sequence[tuple[float, float]], share: float) -> float:
    """The end of the last interval in which a process used more than that share of a core.

    samples: (time, CPU seconds so far), in order of time.
    """
    last = samples[0][0]
    for (before, used), (now, total) in pairwise(samples):
        if total - used > share * (now - before):
            last = now
    return last
