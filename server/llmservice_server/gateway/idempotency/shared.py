"""Claims that replicas share, in Redis: each step is one script, and so atomic.

Promises that of several who come by one key at once, to whichever replica, one runs; that the claim
of a replica which died is free within a minute, and that one which lost its claim meanwhile
overwrites nobody's. While Redis is down each replica counts alone, or, where nobody would, nothing
is claimed.
"""

import asyncio
from contextlib import suppress

from llmservice_server.gateway.answers.patience import Patience
from llmservice_server.gateway.answers.recorded import Recorded, unpacked
from llmservice_server.gateway.idempotency.claims import Claim, Held, UnavailableError
from llmservice_server.gateway.idempotency.own import OwnClaims
from llmservice_server.gateway.toll.wire import RedisDownError, RedisRefusedError

LEASE = 60.0  # seconds after which a claim is free that nobody renews
_CLAIM = """
local held = redis.call('GET', KEYS[1])
if not held then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return held
"""
_CHANGE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""
_FAULTS = (RedisDownError, RedisRefusedError)


class SharedClaims:
    """``alone``: this replica's own, which count in any case; ``open``: and without Redis."""

    def __init__(
        self, redis: Patience, prefix: str, ttl_seconds: int, alone: OwnClaims, *, open_: bool
    ) -> None:
        self._redis, self._ttl, self._alone, self._open = redis, ttl_seconds, alone, open_
        self._prefix = f"{{{prefix}}}:idempotency:"
        self._held: set[Claim] = set()
        self._renewing: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._redis.start()

    async def claim(self, claim: Claim) -> Held | None:
        if held := await self._alone.claim(claim):
            return held
        try:
            found = await self._redis.call(
                *("EVAL", _CLAIM, 1, self._prefix + claim.name),
                *(f"runs {claim}", int(LEASE * 1000)),
            )
        except _FAULTS:
            if not self._open:
                await self._alone.release(claim)
                raise UnavailableError from None
            found = None  # and it may be ours there all the same
        except asyncio.CancelledError:
            await self._alone.release(claim)
            raise
        if held := _held(found):
            await self._alone.release(claim)
            return held
        self._held.add(claim)
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew())
        return None

    async def keep(self, claim: Claim, answer: Recorded) -> None:
        stored = b"answered %b\n%b" % (claim.asked.encode(), answer.packed())
        if await self._change(claim, stored, self._ttl):
            await self._alone.release(claim)
        else:
            await self._alone.keep(claim, answer)
        self._held.discard(claim)

    async def release(self, claim: Claim) -> None:
        self._held.discard(claim)
        await self._alone.release(claim)
        await self._change(claim, b"", 0)

    async def close(self) -> None:
        if self._renewing:
            self._renewing.cancel()
        self._redis.close()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE / 3)
            for claim in [*self._held]:
                if claim in self._held:
                    await self._change(claim, f"runs {claim}".encode(), LEASE)

    async def _change(self, claim: Claim, to: bytes, seconds: float) -> bool:
        """Whether the claim was there as ours."""
        with suppress(*_FAULTS):
            words = ("EVAL", _CHANGE, 1, self._prefix + claim.name, f"runs {claim}", to)
            return await self._redis.call(*words, int(seconds * 1000)) == 1
        return False


def _held(found: object) -> Held | None:
    """What somebody left there, if it can be read."""
    if not isinstance(found, bytes):
        return None
    head, _, packed = found.partition(b"\n")
    what, asked, *_ = [*head.decode("latin-1").split(" "), ""]
    if what == "runs":
        return Held(asked, None)
    answer = unpacked(packed) if what == "answered" else None
    return Held(asked, answer) if answer else None
