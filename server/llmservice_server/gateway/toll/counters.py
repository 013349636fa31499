"""What is counted and how it is asked for: the same words for counters in memory and in Redis.

An order is taken as a whole or not at all. What was taken is settled once, by what was really used.
"""

from enum import StrEnum
from typing import NamedTuple, Protocol

MINUTE = 60_000  # ms
LEASE = 60_000  # ms after which a place is free again where nobody renews it
MOST = 10_000_000_000
"""The largest limit that is counted exactly; a larger one holds as this one."""


class What(StrEnum):
    """What is limited; the names are those of the configuration's fields and the metrics."""

    REQUESTS = "requests_per_minute"
    TOKENS = "tokens_per_minute"
    RUNNING = "concurrent_requests"
    STREAMS = "concurrent_streams"
    MONTH_REQUESTS = "monthly_requests"
    MONTH_TOKENS = "monthly_tokens"


class Charge(NamedTuple):
    """``cost`` of what has this counter. A minute's counter is a bucket of ``limit`` that is
    refilled evenly in a minute; a place is held until it is settled; a month's starts at nothing in
    each calendar month in UTC. ``of``: whose it is, in words.
    """

    counter: str
    what: What
    limit: int
    cost: int
    of: str


class Spent(NamedTuple):
    """What was used; tokens None: as much as was reserved."""

    requests: int
    tokens: int | None


class Seed(NamedTuple):
    """What a month's counters begin with, where they are not known yet."""

    month: str
    requests: int
    tokens: int


class Order(NamedTuple):
    """``name``: of this order alone. ``lookup``: a key of Redis whose value comes back with it."""

    name: str
    charges: tuple[Charge, ...]
    seed: Seed | None = None
    lookup: str | None = None


class Left(NamedTuple):
    """Of one charge: what was left before it, and in how many ms nothing of it would be used."""

    left: int
    reset_ms: int


class Verdict(NamedTuple):
    """``refused``: the charge that holds the order up longest, for ``wait_ms``; None where all was
    taken. ``unseeded``: nothing was taken, since a month's counters are not known.

    ``month`` is the one that was charged, ``seeded`` when its counters began, by which a lost one
    is told from the one that was charged. ``shared``: whether all replicas see it.
    """

    refused: int | None
    wait_ms: int
    left: tuple[Left, ...]
    month: str
    seeded: int
    unseeded: bool = False
    found: bytes | None = None
    shared: bool = False


class Counters(Protocol):
    def start(self) -> None:
        """Make ready what takes longer than a request may wait; before the first one."""
        ...

    async def take(self, order: Order) -> Verdict:
        """Charge all of it, or nothing.

        Raises:
            UnavailableError: nobody can say now what is left.
        """
        ...

    def settle(self, order: Order, verdict: Verdict, spent: Spent) -> None:
        """Correct what was taken to what was spent, and give its places back; at once or soon."""
        ...

    async def close(self) -> None:
        """Settle what is still to be settled, within a second."""
        ...


class UnavailableError(Exception):
    """The counters cannot be asked, and the configuration lets nobody pass without them."""
