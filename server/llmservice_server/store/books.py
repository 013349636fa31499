"""What this replica's requests use and have reserved, told to the database once a second.

Promises: telling it costs a request no wait. What was told is counted once, also where nobody knows
whether the database did it; a crash loses at most the last second of it, and what was reserved for
it is charged in full. While the database is away all of it is kept, its rows bounded: beyond that
the models of a key are no longer told apart.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime

from llmservice_server.config.price import Price
from llmservice_server.gateway.toll.counters import Seed
from llmservice_server.gateway.toll.ledger import Entry
from llmservice_server.store.failures import StoreError
from llmservice_server.store.rounds import Rounds
from llmservice_server.store.tables import MODEL, USER
from llmservice_server.store.text import kept
from llmservice_server.store.usage import (
    DEAD,
    Amount,
    Batch,
    Owner,
    Place,
    Total,
    Usage,
    raise_by,
)

_EVERY = 1.0  # seconds
_BEAT = 5.0  # seconds, where only reservations are to be kept alive
_LOOK = 10.0  # seconds between two looks for replicas that died
_PLACES = 100_000  # of one batch
_OTHER = "other"
_NOTHING = Total(0, 0)
_log = logging.getLogger("llmservice.usage")


def _today() -> date:
    return datetime.now(UTC).date()


class Books:
    """The `Ledger` of the database. today: in UTC, where what is used is counted."""

    def __init__(
        self, usage: Usage, prices: Iterable[Price] = (), today: Callable[[], date] = _today
    ) -> None:
        self._usage, self._today = usage, today
        self._prices = {price.model: price for price in prices}
        self._name, self._number = _name(), 0
        self._used: dict[Place, Amount] = {}
        self._months: dict[Owner, Total] = {}
        self._reserved: dict[Owner, Total] = {}
        self._untold = False  # whether what is reserved changed
        self._batch: Batch | None = None  # one that may have been counted, or not
        self._telling = asyncio.Lock()
        self._told = self._steady = self._looked = time.monotonic()
        self._rounds = Rounds(
            _log,
            lambda: _EVERY,
            self._round,
            failing="usage is kept until the database answers again",
            again="the database answers again: usage was told",
        )

    async def month(self, user: str, month: str) -> Seed:
        """What was used in that month, all of this replica's included.

        Raises:
            StoreError: it cannot be known now.
        """
        await self.tell()
        total = await self._usage.month(Owner(kept(user, USER), month))
        return Seed(month, *total)

    def reserve(self, user: str, month: str, requests: int, tokens: int) -> None:
        raise_by(self._reserved, Owner(kept(user, USER), month), Total(requests, tokens))
        self._untold = True

    def use(self, entry: Entry) -> None:
        user = kept(entry.user or "", USER)
        place = Place(self._today(), user, kept(entry.key or "", USER), kept(entry.model, MODEL))
        if place not in self._used and len(self._used) >= _PLACES:
            place = place._replace(model=_OTHER)
        raise_by(self._used, place, self._amount(entry))
        if not user:
            return
        owner = Owner(user, entry.month)
        tokens = entry.input_tokens + entry.output_tokens
        raise_by(self._months, owner, Total(entry.requests, tokens))
        if entry.reserved_requests or entry.reserved_tokens:
            taken_back = Total(-entry.reserved_requests, -entry.reserved_tokens)
            raise_by(self._reserved, owner, taken_back)
            if self._reserved[owner] == _NOTHING:
                del self._reserved[owner]
            self._untold = True

    def _amount(self, entry: Entry) -> Amount:
        price = self._prices.get(entry.model)
        cost = price.of(entry.input_tokens, entry.output_tokens) if price else 0
        return Amount(entry.requests, entry.input_tokens, entry.output_tokens, cost)

    async def tell(self) -> None:
        """Tell the database all there is to tell.

        Raises:
            StoreError: it cannot now, and everything is kept for the next time.
        """
        async with self._telling:
            if self._batch:
                await self._send(self._batch)
            if self._used or self._untold or self._beat_is_due():
                await self._send(self._next())
            if self._untold and self._number == 0:  # by another name
                await self._send(self._next())

    def _next(self) -> Batch:
        self._number += 1
        batch = Batch(self._number, self._used, self._months, dict(self._reserved))
        self._batch, self._used, self._months, self._untold = batch, {}, {}, False
        return batch

    async def _send(self, batch: Batch) -> None:
        known = await self._usage.add(self._name, batch)
        self._batch, self._told = None, time.monotonic()
        if not known:
            # What was under way is charged in full, and counts again when it ends.
            _log.warning("this replica was taken for dead: it was away for %d s", DEAD)
            self._name, self._number = _name(), 0
            self._untold = bool(self._reserved)

    def _beat_is_due(self) -> bool:
        return bool(self._reserved) and time.monotonic() - self._told >= _BEAT

    def start(self) -> None:
        """Tell the database each second from now on, and look for replicas that died."""
        self._rounds.start()

    async def stop(self) -> None:
        """Tell it the rest, if that can be done."""
        if not await self._rounds.stop():
            return
        try:
            await self.tell()
            if not self._reserved:
                await self._usage.leave(self._name)
        except StoreError as error:
            _log.error("what was used last is lost: %s", error)

    async def _round(self) -> None:
        try:
            await self.tell()
            await self._look()
        except StoreError:
            self._steady = time.monotonic()
            raise

    async def _look(self) -> None:
        """For the dead: by one whose database was there for long enough for all to tell it."""
        now = time.monotonic()
        if now - self._steady < DEAD or now - self._looked < _LOOK:
            return
        self._looked = now
        if dead := await self._usage.charge_the_dead():
            _log.warning("what %d replicas that died had reserved is charged", dead)


def _name() -> str:
    return secrets.token_hex(16)
