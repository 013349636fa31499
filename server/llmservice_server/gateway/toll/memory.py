"""Counters of one process: what the script in Redis does, in Python, and its model in tests.

Promises the same answers as Redis for the same orders at the same times. What is held is bounded:
a bucket that is full again, a place whose lease ran out and a month that is over are forgotten, and
beyond a hundred thousand counters those that were not asked for longest, to their owners' favour.
All of it is lost with the process; months are seeded again from the ledger.
"""

from collections import OrderedDict
from collections.abc import Callable

from llmservice_server.gateway.toll.clock import At, Clock
from llmservice_server.gateway.toll.counters import (
    LEASE,
    MINUTE,
    Charge,
    Left,
    Order,
    Spent,
    Verdict,
    What,
)

_BUCKETS = frozenset({What.REQUESTS, What.TOKENS})
_PLACES = frozenset({What.RUNNING, What.STREAMS})
_DEBT = 2  # minutes' worth of a limit that settling may bring a bucket to at most
_SOON = 1000  # ms: when a place will be free is not known
_MOST_COUNTERS = 100_000


class _Bucket:
    """``used``: in 60,000ths of what is counted, so that each ms refills a whole number of them."""

    __slots__ = ("at", "used")

    def __init__(self) -> None:
        self.used = self.at = 0

    def used_at(self, now: int, limit: int) -> int:
        self.at = min(self.at, now)  # the clock went back
        return max(self.used - min(now - self.at, _DEBT * MINUTE) * limit, 0)


class _Month:
    __slots__ = ("requests", "seeded", "tokens")

    def __init__(self, requests: int, tokens: int, seeded: int) -> None:
        self.requests, self.tokens, self.seeded = requests, tokens, seeded


class Counts:
    """Pure but for what it holds: who asks says when it is."""

    def __init__(self, most: int = _MOST_COUNTERS) -> None:
        self._most = most
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._places: dict[str, dict[str, int]] = {}  # until when each order holds one
        self._months: OrderedDict[tuple[str, str], _Month] = OrderedDict()

    def take(self, at: At, order: Order) -> Verdict:
        month, unseeded = self._month(at, order)
        waits, left = list[int](), list[Left]()
        for charge in order.charges:
            wait, rest = self._look(at, charge, month)
            waits.append(wait)
            left.append(rest)
        longest = max(waits, default=0)
        refused = waits.index(longest) if longest else None
        if refused is None and not unseeded:
            for charge in order.charges:
                self._charge(at, charge, month, order.name)
        self._forget(at)
        seeded = month.seeded if month else 0
        return Verdict(
            refused, longest, tuple(left), at.month, seeded, unseeded and refused is None
        )

    def settle(self, at: At, order: Order, verdict: Verdict, spent: Spent, age: int = 0) -> None:
        """``age``: for how many ms the ledger has known what was spent."""
        for charge in order.charges:
            if charge.what in _PLACES:
                self._leave(charge.counter, order.name)
            elif charge.what is What.TOKENS and spent.tokens is not None:
                bucket = self._buckets.setdefault(charge.counter, _Bucket())
                used = bucket.used_at(at.ms, charge.limit)
                used += (spent.tokens - charge.cost) * MINUTE
                bucket.used = min(max(used, 0), _DEBT * charge.limit * MINUTE)
                bucket.at = at.ms
            elif month := self._months.get((charge.counter, verdict.month)):
                amount = spent.tokens if charge.what is What.MONTH_TOKENS else spent.requests
                amount = charge.cost if amount is None else amount
                if month.seeded == verdict.seeded:
                    amount -= charge.cost
                elif month.seeded > at.ms - age:
                    continue  # the ledger told it
                if charge.what is What.MONTH_TOKENS:
                    month.tokens = max(month.tokens + amount, 0)
                elif charge.what is What.MONTH_REQUESTS:
                    month.requests = max(month.requests + amount, 0)

    def renew(self, at: At, held: list[tuple[str, str]]) -> None:
        """``held``: counters, each with the name of an order that goes on."""
        for counter, name in held:
            self._places.setdefault(counter, {})[name] = at.ms + LEASE

    def forget_months(self) -> None:
        """What they hold is not the truth any more."""
        self._months.clear()

    def _month(self, at: At, order: Order) -> tuple[_Month | None, bool]:
        """The month's counters, and whether the order needs some that are not known."""
        owner = next((c.counter for c in order.charges if c.what.startswith("monthly")), None)
        if owner is None:
            return None, False
        month, seed = self._months.get((owner, at.month)), order.seed
        if month is None and seed is not None and seed.month == at.month:
            month = _Month(seed.requests, seed.tokens, at.ms)
            self._months[owner, at.month] = month
        return month, month is None

    def _look(self, at: At, charge: Charge, month: _Month | None) -> tuple[int, Left]:
        """For how many ms it must wait, 0 where it need not, and what is left before it."""
        if charge.what in _BUCKETS:
            bucket = self._buckets.get(charge.counter)
            full, used = charge.limit * MINUTE, bucket.used_at(at.ms, charge.limit) if bucket else 0
            beyond = max(used + charge.cost * MINUTE - full, 0)
            left = Left(max(full - used, 0) // MINUTE, _ceil(used, charge.limit))
            return _ceil(beyond, charge.limit), left
        if charge.what in _PLACES:
            used, until = self._held(at, charge.counter), _SOON
        else:
            tokens = charge.what is What.MONTH_TOKENS
            used = 0 if month is None else month.tokens if tokens else month.requests
            until = at.month_left_ms
        wait = until if used + charge.cost > charge.limit else 0
        return wait, Left(max(charge.limit - used, 0), until)

    def _charge(self, at: At, charge: Charge, month: _Month | None, name: str) -> None:
        if charge.what in _BUCKETS:
            bucket = self._buckets.setdefault(charge.counter, _Bucket())
            used = bucket.used_at(at.ms, charge.limit)
            bucket.used, bucket.at = used + charge.cost * MINUTE, at.ms
            self._buckets.move_to_end(charge.counter)
        elif charge.what in _PLACES:
            self._places.setdefault(charge.counter, {})[name] = at.ms + LEASE
        elif charge.what is What.MONTH_TOKENS and month:
            month.tokens += charge.cost
        elif month:
            month.requests += charge.cost

    def _held(self, at: At, counter: str) -> int:
        places = self._places.get(counter)
        if places is None:
            return 0
        for name, until in list(places.items()):
            if not at.ms < until <= at.ms + LEASE:
                del places[name]
        if not places:
            del self._places[counter]
        return len(places)

    def _leave(self, counter: str, name: str) -> None:
        if (places := self._places.get(counter)) is not None:
            places.pop(name, None)
            if not places:
                del self._places[counter]

    def _forget(self, at: At) -> None:
        while self._buckets:
            oldest = next(iter(self._buckets))
            stale = at.ms - self._buckets[oldest].at >= _DEBT * MINUTE
            if not stale and len(self._buckets) <= self._most:
                break
            del self._buckets[oldest]
        while self._months:
            oldest_month = next(iter(self._months))
            if oldest_month[1] >= _before(at.month) and len(self._months) <= self._most:
                break
            del self._months[oldest_month]


def _ceil(part: int, whole: int) -> int:
    return -(-part // whole)


def _before(month: str) -> str:
    """The month before; what runs over a month's edge is settled in it."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year - (number == 1):04}-{(number - 2) % 12 + 1:02}"


class MemoryCounters:
    """The counters of a server that has no Redis, or of one whose Redis is down."""

    def __init__(self, now: Callable[[], At] | None = None) -> None:
        self._now = now or Clock().now
        self._counts = Counts()
        self._held: dict[str, list[str]] = {}
        self._renewed = 0

    async def take(self, order: Order) -> Verdict:
        at = self._now()
        if at.ms - self._renewed >= LEASE // 3:
            self._renewed = at.ms
            self._counts.renew(at, [(c, name) for name, held in self._held.items() for c in held])
        verdict = self._counts.take(at, order)
        held = [c.counter for c in order.charges if c.what in _PLACES]
        if held and verdict.refused is None and not verdict.unseeded:
            self._held[order.name] = held
        return verdict

    def settle(self, order: Order, verdict: Verdict, spent: Spent) -> None:
        self._held.pop(order.name, None)
        self._counts.settle(self._now(), order, verdict, spent)

    def forget_months(self) -> None:
        self._counts.forget_months()

    def start(self) -> None:
        """Nothing is to be made ready."""

    async def close(self) -> None:
        """Nothing is left to do."""
