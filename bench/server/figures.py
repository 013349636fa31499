"""What was measured in each round, beside what, and whether that is as it should be. Pure.

Rounds are pairs: a ratio or a difference is taken within each pair, where both sides met the same
machine; the verdict is of the pairs' median, and how far that can be trusted is its interval. What
was not measured is said to be so, and is never met.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10
from random import Random
from statistics import median
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """values: ours, one a pair. beside: another's of the same pairs, whose name is `whose`; the
    target is then of the ratio to it, or of the difference. at_least: the target is no upper bound.
    sittings: by pair, from which start of the servers it is.
    """

    what: str
    values: Sequence[float]
    unit: str = ""
    beside: Sequence[float] = ()
    whose: str = ""
    by: Literal["ratio", "difference"] = "ratio"
    target: float | None = None
    at_least: bool = False
    sittings: Sequence[int] = ()

    @property
    def compared(self) -> list[float]:
        """What the target is for, by round."""
        if not self.whose:
            return list(self.values)
        pairs = zip(self.values, self.beside, strict=True)
        if self.by == "ratio":
            return [ours / other for ours, other in pairs]
        return [ours - other for ours, other in pairs]

    @property
    def met(self) -> bool | None:
        """None where there is no target."""
        if self.target is None:
            return None
        if not self.values:
            return False
        found = median(self.compared)
        return found >= self.target if self.at_least else found <= self.target


HEAD = ("what", "measured", "beside", "compared", "median's 95 % interval", "target", "")
_DRAWS = 2000


def row(figure: Figure) -> tuple[str, ...]:
    unit = figure.unit if figure.by == "difference" or not figure.whose else "times"
    plus = "+" if figure.whose and figure.by == "difference" else ""
    sign = "≥" if figure.at_least else "≤"
    target = "" if figure.target is None else f"{sign} {plus}{number(figure.target, unit)}"
    verdict = {None: "", True: "met", False: "MISSED"}[figure.met]
    if not figure.values:
        return (figure.what, "not measured", "", "", "", target, verdict)
    compared = figure.compared
    low, high = interval(compared, figure.sittings)
    return (
        figure.what,
        number(median(figure.values), figure.unit),
        f"{number(median(figure.beside), figure.unit)} {figure.whose}" if figure.whose else "",
        (plus if median(compared) > 0 else "") + number(median(compared), unit)
        if figure.whose
        else "",
        f"{number(low)} … {number(high)}" if len(compared) > 1 else "",
        target,
        verdict,
    )


def interval(values: Sequence[float], sittings: Sequence[int] = ()) -> tuple[float, float]:
    """Where the median lies 95 times of 100, by bootstrap: were other sittings drawn of such as
    there were, and in each other pairs.
    """
    groups: dict[int, list[float]] = {}
    for sitting, value in zip(sittings or [0] * len(values), values, strict=True):
        groups.setdefault(sitting, []).append(value)
    dice, drawn = Random(0), list(groups.values())  # noqa: S311  the same table of the same rounds
    medians = sorted(
        median(
            value
            for group in dice.choices(drawn, k=len(drawn))
            for value in dice.choices(group, k=len(group))
        )
        for _ in range(_DRAWS)
    )
    return medians[_DRAWS // 40], medians[-_DRAWS // 40 - 1]


def number(value: float, unit: str = "") -> str:
    """Three digits that say something."""
    digits = 0 if value == 0 else max(0, 2 - floor(log10(abs(value))))
    text = f"{value:,.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text} {unit}".strip()
