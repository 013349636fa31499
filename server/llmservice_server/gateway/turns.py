"""Whose turn it is: how many requests the engine has, and who waits, in fair order over tenants.

Promises that a place which is free goes at once to one who waits; that tenants who wait share the
turns by their weights, so that one who floods delays another by a turn or two and not by its flood;
that within a tenant it is first come, first served; that a full queue has room for who asks for
less than those in it; that one who leaves takes no place with it, and that both counts come back to
zero when all have left. Plain state on the event loop's thread; the
order of the queue is `_next`'s alone.

The order is start-time fair queueing. A tenant's first request is due now, in a virtual time, and
each further one 1/weight after the one before. With each turn virtual time goes on by one turn's
share among those who wait, and who comes back is due when its last turn is worked off: so nobody
saves turns up, and however many newcomers there are, they come after who was there.
"""

import asyncio
from collections import OrderedDict
from heapq import heapify, heappop, heappush
from itertools import count

Turn = asyncio.Future[None]
_FEW = 64  # places in the line of tenants that left it; more are cleared away


class _Tenant:
    """due: when its next request is, or when its last one is worked off."""

    __slots__ = ("due", "name", "turns", "weight")

    def __init__(self, name: str, due: float) -> None:
        self.name, self.due, self.weight = name, due, 1
        self.turns: OrderedDict[Turn, None] = OrderedDict()

    def burden(self) -> float:
        return len(self.turns) / self.weight


class Turns:
    """``places``: how many may run at once. It may change while requests run and wait."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.running = 0
        self._waits: dict[Turn, _Tenant] = {}
        self._now, self._came = 0.0, count()
        self._tenants: dict[str, _Tenant] = {}  # that are in the line
        self._weights = 0  # of those that wait
        self._line: list[tuple[float, int, _Tenant]] = []  # a heap, each once; and some that left

    @property
    def waiting(self) -> int:
        return len(self._waits)

    def begin(self) -> bool:
        """Take a place, to be given back by `end`. False where none is free."""
        if self._waits or self.running >= self.places:
            return False
        self.running += 1
        return True

    def end(self) -> None:
        """Give a place back."""
        self.running -= 1
        while self._waits and self.running < self.places:
            self._next().set_result(None)
            self.running += 1

    def join(self, tenant: str = "", weight: int = 1) -> Turn:
        """Wait for a place: whoever's turn is done has one."""
        turn: Turn = asyncio.get_running_loop().create_future()
        found = self._tenants.get(tenant)
        if found is None or (not found.turns and found.due <= self._now):
            found = self._tenants[tenant] = _Tenant(tenant, self._now)
            self._stand(found)
        if not found.turns:
            found.weight = weight
            self._weights += weight
        found.turns[turn] = None
        self._waits[turn] = found
        return turn

    def leave(self, turn: Turn) -> None:
        """Wait no longer. A place that came in the same moment goes to the next one."""
        if turn in self._waits:
            self._out(turn)
        elif turn.done() and not turn.cancelled():
            self.end()

    def displace(self, tenant: str = "", weight: int = 1) -> bool:
        """Where no more may wait: whoever has most waiting for its weight loses its last one, whose
        turn is cancelled. False where that would be the tenant which wants to join.
        """
        most = max(set(self._waits.values()), key=_Tenant.burden, default=None)
        own = self._tenants.get(tenant)
        wanted = ((len(own.turns) if own else 0) + 1) / weight
        if most is None or wanted >= most.burden():
            return False
        turn = next(reversed(most.turns))
        self._out(turn)
        return turn.cancel()

    def _next(self) -> Turn:
        while True:
            due, _, tenant = heappop(self._line)
            if tenant.turns:
                break
            if self._tenants.get(tenant.name) is tenant:
                del self._tenants[tenant.name]
        self._now = max(self._now + 1 / self._weights, due)
        tenant.due += 1 / tenant.weight
        self._stand(tenant)
        turn = next(iter(tenant.turns))
        self._out(turn)
        return turn

    def _stand(self, tenant: _Tenant) -> None:
        heappush(self._line, (tenant.due, next(self._came), tenant))

    def _out(self, turn: Turn) -> None:
        tenant = self._waits.pop(turn)
        del tenant.turns[turn]
        if not tenant.turns:
            self._weights -= tenant.weight
            if tenant.due <= self._now:
                del self._tenants[tenant.name]
        if not self._waits:  # and so nobody is owed anything
            self._now = 0.0
            self._tenants.clear()
            self._line.clear()
        elif len(self._line) > 2 * len(self._tenants) + _FEW:
            here = self._tenants
            self._line = [place for place in self._line if here.get(place[2].name) is place[2]]
            heapify(self._line)
