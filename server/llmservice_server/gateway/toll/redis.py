"""Counters that all replicas share, in Redis: one script, one round trip a request.

Promises that what passes is exact over all replicas, by Redis' own clock; that an order which Redis
comes to late, when nobody waits for it any more, is not taken; that a place is free again a minute
after the replica that held it died, and that what a replica had reserved stays charged in full.
Settling is off the way of requests: in batches, soon, each once however often it is sent, and from
a bounded queue that drops the oldest, whose reservations stay charged then.

A month's counters that are lost begin again with what the ledger says, and what was reserved before
is charged to them by what it spent when it is settled. So a loss lets a user have at most what was
in flight at that moment, and what the ledger was told in the last second before it, once more.
"""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from llmservice_server.config.redis import Address
from llmservice_server.gateway.toll.counters import LEASE, Left, Order, Spent, Verdict, What
from llmservice_server.gateway.toll.wire import (
    RedisDownError,
    RedisRefusedError,
    Wire,
    Word,
)

SECONDS = 0.1
"""What a request waits for Redis at most."""
_BATCH = 50  # orders that are settled, or places that are renewed, in one call
_MOST = 20_000  # orders that wait to be settled
_NOW = "(function(t) return t[1] * 1000 + math.floor(t[2] / 1000) end)(redis.call('TIME'))"
_SCRIPT = Path(__file__).with_name("counters.lua").read_text(encoding="utf-8")
_WHAT = {
    What.REQUESTS: "r",
    What.TOKENS: "t",
    What.RUNNING: "c",
    What.STREAMS: "c",
    What.MONTH_REQUESTS: "R",
    What.MONTH_TOKENS: "T",
}
_LATE, _UNSEEDED = -2, -3
_AGAIN_SECONDS = 1.0  # between two tries to settle


class _Settling(NamedTuple):
    order: Order
    verdict: Verdict
    spent: Spent
    since: float


class RedisCounters:
    """``now``: in Lua, the ms after the epoch; Redis' own clock but in tests."""

    def __init__(
        self,
        address: Address,
        prefix: str,
        now: str = _NOW,
        *,
        lost: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._wire = Wire(address, SECONDS)
        self._script = _SCRIPT.replace("NOW", now, 1)
        self._digest = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._prefix = f"{{{prefix}}}:"  # one slot of a cluster
        self._replica = uuid4().hex[:12]
        self._lost = lost
        self._held: dict[str, list[str]] = {}
        self._settlings: deque[_Settling] = deque()
        self._batch: list[_Settling] = []  # sent, and perhaps done, under this number
        self._number = 0
        self._sending = asyncio.Lock()
        self._wake = asyncio.Event()
        self._settler: asyncio.Task[None] | None = None
        self._behind: int | None = None  # ms from our monotonic clock to Redis'

    def start(self) -> None:
        self._wire.start()

    async def take(self, order: Order) -> Verdict:
        """As `Counters.take`.

        Raises:
            RedisDownError: it was not taken, or nobody will know; then it stays charged.
        """
        keys = [self._prefix + charge.counter for charge in order.charges]
        charges: list[Word] = []
        for charge in order.charges:
            charges += (_WHAT[charge.what], charge.limit, charge.cost)
        seed = order.seed or ("", 0, 0)
        name = f"{self._replica}:{order.name}"
        if order.lookup:
            keys.append(order.lookup)
        reply = await self._in_time(keys, "take", [name, *seed, *charges])
        refused, wait, _, month, seeded, found, *left = reply
        if refused == -1 and (held := _places(order)):
            self._held[order.name] = [self._prefix + counter for counter in held]
            self._start()
        return Verdict(
            refused=refused if refused >= 0 else None,
            wait_ms=wait,
            left=tuple(map(Left, left[::2], left[1::2])),
            month=month.decode(),
            seeded=seeded,
            unseeded=refused == _UNSEEDED,
            found=found,
            shared=True,
        )

    def settle(self, order: Order, verdict: Verdict, spent: Spent) -> None:
        self._held.pop(order.name, None)
        if len(self._settlings) >= _MOST:
            self._settlings.popleft()
            self._lost(1)
        self._settlings.append(_Settling(order, verdict, spent, time.monotonic()))
        self._wake.set()
        self._start()

    async def look(self) -> None:
        """Raises RedisDownError where it does not serve what writes."""
        await self._settle_some()

    async def close(self) -> None:
        if self._settler:
            self._settler.cancel()
        try:
            async with asyncio.timeout(1):
                while self._unsettled:
                    await self._settle_some()
        except (RedisDownError, TimeoutError):
            self._lost(self._unsettled)
        self._wire.close()

    def _start(self) -> None:
        if self._settler is None:
            self._settler = asyncio.create_task(self._settle_for_ever())

    async def _settle_for_ever(self) -> None:
        """In one task, so that no place is renewed after it was given back."""
        renew = time.monotonic() + LEASE / 3000
        while True:
            try:
                async with asyncio.timeout(max(renew - time.monotonic(), 0)):
                    await self._wake.wait()
            except TimeoutError:
                renew = time.monotonic() + LEASE / 3000
                await _in_spite(self._renew)
            self._wake.clear()
            while self._unsettled and await _in_spite(self._settle_some):
                pass
            if self._unsettled:
                await asyncio.sleep(_AGAIN_SECONDS)
                self._wake.set()

    @property
    def _unsettled(self) -> int:
        return len(self._batch) + len(self._settlings)

    async def _settle_some(self) -> None:
        """A batch that failed is sent again as it was; by its number Redis does it once.

        Raises:
            RedisDownError: it cannot now.
        """
        async with self._sending:
            await self._send_batch()

    async def _send_batch(self) -> None:
        if not self._batch:
            self._number += 1
            most = min(_BATCH, len(self._settlings))
            self._batch = [self._settlings.popleft() for _ in range(most)]
        keys: list[str] = [f"{self._prefix}settled:{self._replica}"]
        words: list[Word] = ["settle", self._number]
        for order, verdict, spent, since in self._batch:
            age = int((time.monotonic() - since) * 1000)
            tokens = -1 if spent.tokens is None else spent.tokens
            words += (f"{self._replica}:{order.name}", verdict.month, verdict.seeded, age)
            words += (spent.requests, tokens, len(order.charges))
            for charge in order.charges:
                keys.append(self._prefix + charge.counter)
                words += (_WHAT[charge.what], charge.limit, charge.cost)
        await self._call(keys, words)
        self._batch = []

    async def _renew(self) -> None:
        held = [(key, name) for name, keys in self._held.items() for key in keys]
        for start in range(0, len(held), _BATCH):
            some = held[start : start + _BATCH]
            names = [f"{self._replica}:{name}" for _, name in some if name in self._held]
            keys = [key for key, name in some if name in self._held]
            await self._in_time(keys, "renew", names)

    async def _in_time(self, keys: list[str], what: str, words: Sequence[Word]) -> Any:
        """What Redis answers, which does nothing where it comes to it when nobody waits any more.

        Raises:
            RedisDownError: as `_call`.
        """
        for _ in range(2):  # its clock may have been set
            late = 0 if self._behind is None else _ms() + self._behind + int(SECONDS * 1000)
            reply = await self._call(keys, [what, late, *words])
            self._behind = int(reply[2]) - _ms()
            if reply[0] != _LATE:
                return reply
        raise RedisDownError("comes to every request too late")

    async def _call(self, keys: list[str], words: list[Word]) -> Any:
        arguments: list[Word] = [len(keys), *keys, *words]
        try:
            try:
                return await self._wire.call("EVALSHA", self._digest, *arguments)
            except RedisRefusedError as refused:
                if not str(refused).startswith("NOSCRIPT"):
                    raise
                return await self._wire.call("EVAL", self._script, *arguments)
        except RedisRefusedError as refused:
            raise RedisDownError(f"answers with an error: {refused}"[:200]) from None


def _ms() -> int:
    return int(time.monotonic() * 1000)


def _places(order: Order) -> list[str]:
    return [charge.counter for charge in order.charges if _WHAT[charge.what] == "c"]


async def _in_spite(do: Callable[[], Awaitable[None]]) -> bool:
    """Whether Redis let it be done."""
    try:
        await do()
    except RedisDownError:
        return False
    return True
