"""Orders in a few words, and a ledger in memory, for the tests of counters."""

from collections import Counter
from collections.abc import Iterable
from itertools import count

from llmservice_server.gateway.toll.counters import (
    Charge,
    Counters,
    Order,
    Seed,
    Spent,
    Verdict,
    What,
)
from llmservice_server.gateway.toll.ledger import Entry

_names = count()


def charge(what: What, limit: int, cost: int = 1, of: str = "ann") -> Charge:
    monthly = what.startswith("monthly")
    return Charge(f"user:{of}:{'month' if monthly else what}", what, limit, cost, "this user")


def order(*charges: Charge, seed: Seed | None = None) -> Order:
    return Order(f"order {next(_names)}", charges, seed)


class Memory:
    """A ledger that loses nothing and waits for nobody."""

    def __init__(self, requests: int = 0, tokens: int = 0) -> None:
        self.base = (requests, tokens)
        self.used: Counter[str] = Counter()
        self.reserved = 0
        self.asked = 0
        self.entries: list[Entry] = []

    async def month(self, user: str, month: str) -> Seed:
        self.asked += 1
        mine = [entry for entry in self.entries if (entry.user, entry.month) == (user, month)]
        return Seed(
            month,
            self.base[0] + sum(entry.requests for entry in mine),
            self.base[1] + sum(entry.input_tokens + entry.output_tokens for entry in mine),
        )

    def reserve(self, user: str, month: str, requests: int, tokens: int) -> None:
        self.reserved += tokens

    def use(self, entry: Entry) -> None:
        self.reserved -= entry.reserved_tokens
        self.entries.append(entry)


async def taken(counters: Counters, asked: Order, ledger: Memory | None = None) -> Verdict:
    """As the layer takes it: with what the ledger says, where the month is not known."""
    verdict = await counters.take(asked)
    if not verdict.unseeded:
        return verdict
    seed = await ledger.month("ann", verdict.month) if ledger else Seed(verdict.month, 0, 0)
    return await counters.take(asked._replace(seed=seed))


async def passed(counters: Counters, orders: Iterable[Order]) -> list[tuple[Order, Verdict]]:
    """Those that pass."""
    found: list[tuple[Order, Verdict]] = []
    for asked in orders:
        verdict = await taken(counters, asked)
        if verdict.refused is None:
            found.append((asked, verdict))
    return found


NOTHING = Spent(0, 0)
