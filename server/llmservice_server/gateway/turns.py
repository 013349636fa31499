"""Whose turn it is: how many requests the engine has, and who waits, first come, first served.

Promises that a place which is free goes to the one who waits longest, that one who leaves takes no
place with it, and that both counts come back to zero when all have left. Plain state on the event
loop's thread; the order of the queue is `_next`'s alone.
"""

import asyncio
from collections import OrderedDict

Turn = asyncio.Future[None]


class Turns:
    """``places``: how many may run at once. It may change while requests run and wait."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.running = 0
        self._queue: OrderedDict[Turn, None] = OrderedDict()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def begin(self) -> bool:
        """Take a place, to be given back by `end`. False where none is free."""
        if self._queue or self.running >= self.places:
            return False
        self.running += 1
        return True

    def end(self) -> None:
        """Give a place back."""
        self.running -= 1
        while self._queue and self.running < self.places:
            self._next().set_result(None)
            self.running += 1

    def join(self) -> Turn:
        """Wait for a place: whoever's turn is done has one."""
        turn: Turn = asyncio.get_running_loop().create_future()
        self._queue[turn] = None
        return turn

    def leave(self, turn: Turn) -> None:
        """Wait no longer. A place that came in the same moment goes to the next one."""
        if turn in self._queue:
            del self._queue[turn]
        elif turn.done():
            self.end()

    def _next(self) -> Turn:
        return self._queue.popitem(last=False)[0]
