"""Keys of the database, remembered: a request waits for it only where a key is new or changed.

Promises: a key that is changed or revoked counts as it is now within five seconds, since the
store's version is asked for every two. While the store does not answer, keys that are known stay
good for ten minutes, and a key that is not is refused with 503, never with 401. Of one key one
question is under way at a time. What is remembered is bounded, wrong keys apart from good ones, and
holds no key: they are told apart by keyed digests.
"""

import asyncio
import hmac
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from llmservice_server.config import Plan
from llmservice_server.gateway.caller import Caller, Scopes
from llmservice_server.gateway.identity import keys
from llmservice_server.gateway.identity.bounded import Bounded
from llmservice_server.gateway.identity.known import Known
from llmservice_server.gateway.identity.refused import WrongKey, cannot_tell, unauthorized

POLL = 2.0  # seconds between two looks at the version; with _PATIENCE less than five
_PATIENCE = 1.5  # seconds for an answer of the store
_BELIEVED = 600.0  # seconds without the store
_KNOWN, _WRONG = 50_000, 10_000
_TOLD = 10.0  # seconds between two times that the store is told which keys were used

_log = logging.getLogger("llmservice.identity")


@dataclass(frozen=True, slots=True)
class StoredKey:
    """``digest`` is `keys.digest` of the whole key, ``expires`` in seconds since the epoch."""

    id: str
    user: str
    digest: bytes = field(repr=False)
    plan: Plan
    admin: bool = False
    scopes: Scopes = field(default_factory=Scopes)
    expires: float | None = None
    revoked: bool = False


class KeyStore(Protocol):
    """Whatever it raises means that it does not answer."""

    async def find(self, prefix: str) -> StoredKey | None: ...

    async def version(self) -> int:
        """Another number whenever what `find` returns for any prefix may be another."""
        ...

    async def used(self, last: Mapping[str, float]) -> None:
        """When each key was last used, by its id. Changes no version."""
        ...


class StoredKeys:
    def __init__(self, store: KeyStore, pepper: bytes) -> None:
        self._store, self._pepper = store, pepper
        # each with the version that it is of
        self._rows = Bounded[str, tuple[int, StoredKey]](_KNOWN)
        self._nobodys = Bounded[str, int](_WRONG)
        self._known = Bounded[bytes, tuple[int, Known]](_KNOWN)
        self._asked: dict[tuple[str, int], asyncio.Task[StoredKey | None]] = {}
        self._version = 0
        self._heard: float | None = None  # when the store answered last
        self._silent = False
        self._used: dict[str, float] = {}

    def remembered(self, fingerprint: bytes, now: float) -> Known | None:
        """The key, if it is known as the store has it now."""
        version, known = self._known.get(fingerprint, (None, None))
        if known is None or version != self._version or known.until <= now or self._too_long():
            return None
        if known.key is not None:
            self._used[known.key] = now
        return known

    async def find(self, key: str, fingerprint: bytes) -> Known:
        """The same of any key.

        Raises:
            Refused: it opens nothing, or nobody can tell.
        """
        prefix = keys.prefix_of(key)
        if prefix is None or self._nobodys.get(prefix) == self._version:
            raise _unknown()
        last = self._rows.get(prefix)
        if last is None or last[0] != self._version or self._too_long():
            last = await self._looked_up(prefix, last and last[1])
        version, row = last
        known = self._good(row, key)
        self._known.put(fingerprint, (version, known))
        self._used[row.id] = time.time()
        return known

    async def _looked_up(self, prefix: str, last: StoredKey | None) -> tuple[int, StoredKey]:
        """The row, with the version that it is of: the last one that is known if need be."""
        version = self._version
        if not self._silent:
            try:
                row = await self._found(prefix)
            except Exception:  # noqa: BLE001  whatever the store raises, it does not answer
                self._is_silent()
            else:
                self._heard = time.monotonic()
                if row is None:
                    self._nobodys.put(prefix, version)
                    raise _unknown()
                self._rows.put(prefix, (version, row))
                return version, row
        if last is None or self._too_long():
            raise cannot_tell("Keys cannot be looked up at the moment; send the request again.")
        return -1, last  # of no version, so that it is looked up again

    def _good(self, row: StoredKey, key: str) -> Known:
        if not hmac.compare_digest(keys.digest(key, self._pepper), row.digest):
            raise _unknown()
        if row.revoked:
            raise unauthorized("The key was revoked; ask for another.")
        until = math.inf if row.expires is None else row.expires
        if until <= time.time():
            raise unauthorized("The key has expired; ask for another.")
        who = Caller(
            address="", plan=row.plan, key=row.id, user=row.user, admin=row.admin, scopes=row.scopes
        )
        return Known(who, until)

    async def _found(self, prefix: str) -> StoredKey | None:
        question = (prefix, self._version)  # an answer to an older one may be older than a change
        task = self._asked.get(question)
        if task is None:
            task = self._asked[question] = asyncio.create_task(self._ask(prefix))
            task.add_done_callback(partial(self._answered, question))
        return await asyncio.shield(task)

    def _answered(self, question: tuple[str, int], task: "asyncio.Task[StoredKey | None]") -> None:
        del self._asked[question]
        if not task.cancelled():
            task.exception()  # also where nobody waits for it any more

    async def _ask(self, prefix: str) -> StoredKey | None:
        async with asyncio.timeout(_PATIENCE):
            return await self._store.find(prefix)

    async def keep_current(self) -> None:
        """Ask for the version again and again, and tell which keys were used. Never returns."""
        told = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(_PATIENCE):
                    version = await self._store.version()
            except Exception:  # noqa: BLE001
                self._is_silent()
            else:
                self._answers(version)
            if time.monotonic() - told >= _TOLD:
                told = time.monotonic()
                await self.tell_uses()
            await asyncio.sleep(POLL)

    async def tell_uses(self) -> None:
        """Tell the store which keys were used since the last time; again later if it fails."""
        uses, self._used = self._used, {}
        if not uses:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._store.used(uses)
        except Exception:  # noqa: BLE001  who cannot be written to may yet be asked
            self._used = uses | self._used

    def _answers(self, version: int) -> None:
        self._heard = time.monotonic()
        if version != self._version:
            self._version = version
            self._nobodys.clear()
        if self._silent:
            self._silent = False
            _log.info("the keys' store answers again")

    def _is_silent(self) -> None:
        if not self._silent:
            self._silent = True
            _log.warning(
                "the keys' store does not answer: keys that are known stay good for %d s", _BELIEVED
            )

    def _too_long(self) -> bool:
        return self._heard is None or time.monotonic() - self._heard > _BELIEVED


def _unknown() -> WrongKey:
    return WrongKey("The key is none of ours; check it, or ask for another.")
