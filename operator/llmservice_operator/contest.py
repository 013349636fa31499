"""Two writers of one child: how often it is taken back from the other. Pure but for the clock.

A child that somebody changes or deletes is brought back at once, the first few times. Whoever does
it again and again does not stop for us: from then on there are pauses, which double, and a
condition that names the field and the other writer. It ends once nobody did it for a while.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from llmservice_operator.api.conditions import Reason
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.observed import Problem
from llmservice_operator.records import FIELD_MANAGER, Ref

AT_ONCE = 5  # times without a pause
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds
CALM = 20.0  # seconds after which it is over; twice the pause where that is longer


@dataclass
class Contest:
    """Over one child. words: what is done to it and by whom."""

    times: int = 0
    last: float = float("-inf")
    words: str = ""

    def waits(self) -> bool:
        """Is it too early to take it back?"""
        return not self._over() and time.monotonic() < self.last + self._pause()

    def taken_back(self) -> None:
        self.times = 1 if self._over() else self.times + 1
        self.last = time.monotonic()

    def told(self, ref: Ref) -> Problem | None:
        if self._over() or self.times < AT_ONCE:
            return None
        said = f"{ref} {self.words}; it is taken back ever more rarely: let one of the two own it"
        next_at = self.last + (self._pause() if self.waits() else self._calm())
        return Problem(Reason.FIELD_CONFLICT, said, again=max(0.1, next_at - time.monotonic()))

    def _pause(self) -> float:
        if self.times < AT_ONCE:
            return 0.0
        return min(FIRST_PAUSE * 2.0 ** (self.times - AT_ONCE), LONGEST_PAUSE)

    def _calm(self) -> float:
        return max(CALM, 2 * self._pause())

    def _over(self) -> bool:
        return time.monotonic() - self.last >= self._calm()


def last_writer(managed_fields: Iterable[Manifest]) -> str:
    """Who wrote last of the others, its controller's status aside."""
    others = [
        (entry.get("time", ""), entry["manager"])
        for entry in managed_fields
        if entry.get("manager", FIELD_MANAGER) != FIELD_MANAGER
        and entry.get("subresource") != "status"
    ]
    return max(others)[1] if others else "somebody"
