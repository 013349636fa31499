"""What time it is for counters in memory: minutes by a clock that never jumps, months by the date.

Promises that a date which jumps, for whatever reason, is believed only after it has stood for a
minute, so that a moment's wrong date renews no quota.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

_BELIEVED = 60.0  # seconds that a jump has to last
_DRIFT = 1.0  # seconds in which two clocks differ without a jump


class At(NamedTuple):
    """``ms`` of a clock that only goes forward; the month, and how many ms are left of it."""

    ms: int
    month: str
    month_left_ms: int


def month_at(ms: int) -> tuple[str, int]:
    """The month in UTC at so many ms after the epoch, and the ms at which the next one begins."""
    date = datetime.fromtimestamp(ms / 1000, UTC)
    after = date.year * 12 + date.month  # months, counted from 0: the next one
    begins = datetime(after // 12, after % 12 + 1, 1, tzinfo=UTC)
    return f"{date.year:04}-{date.month:02}", int(begins.timestamp()) * 1000


class Clock:
    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic, self._wall = monotonic, wall
        self._offset = wall() - monotonic()
        self._jumped: float | None = None  # since when the date is another one
        self._month, self._ends = month_at(int(wall() * 1000))
        self._begins = 0

    def now(self) -> At:
        monotonic = self._monotonic()
        self._follow(monotonic)
        wall = int((self._offset + monotonic) * 1000)
        if not self._begins <= wall < self._ends:
            self._month, self._ends = month_at(wall)
            self._begins = wall
        return At(int(monotonic * 1000), self._month, self._ends - wall)

    def _follow(self, monotonic: float) -> None:
        offset = self._wall() - monotonic
        if abs(offset - self._offset) < _DRIFT:
            self._offset, self._jumped = offset, None
        elif self._jumped is None:
            self._jumped = monotonic
        elif monotonic - self._jumped >= _BELIEVED:
            self._offset, self._jumped = offset, None
