"""When the next request may be sent: a ceiling on their rate, and what the API server asks for.

Promises: never more than BURST seconds' worth of requests ahead of `per_second`; all take turns
in the order in which they asked; while the API server asks to be left alone nobody goes, and
afterwards they go one by one, over as long a time again, instead of all at once.
"""

import asyncio
import random
from collections.abc import Callable

BURST = 0.1  # seconds
LONGEST = 10.0  # seconds that one answer may hold up everybody; its own request waits as asked


class Pace:
    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        """per_second: 0 is no ceiling. clock: seconds; it never goes back."""
        self._interval = 1 / per_second if per_second else 0.0
        self._clock = clock
        self._next = self._held_until = float("-inf")
        self._hold = 0.0

    def hold(self, seconds: float) -> None:
        """The API server asks all of us to come again later."""
        self._hold = min(seconds, LONGEST)
        self._held_until = max(self._held_until, self._clock() + self._hold)

    async def turn(self) -> None:
        """Return when a request may be sent."""
        while (wait := self._wait()) > 0:
            await asyncio.sleep(wait)
            if self._clock() >= self._held_until:
                return

    def _wait(self) -> float:
        """Takes the next turn: the seconds until then."""
        now = self._clock()
        turn = max(self._next, now)
        self._next = turn + self._interval
        wait = turn - now - max(BURST - self._interval, 0.0)
        if self._held_until > now:
            spread = random.uniform(0, self._hold)  # noqa: S311
            wait = max(wait, self._held_until - now + spread)
        return wait
