"""Answers that replicas share, in Redis, which lets them go after their time.

Promises that a Redis which is down costs what `Patience` says and is otherwise as if nothing were
kept; that keeping an answer holds nobody up, and that what is on its way there is bounded: what is
beyond that is not kept, and counted.
"""

import asyncio

from llmservice_server.gateway.answers.patience import Patience
from llmservice_server.gateway.answers.recorded import Recorded, unpacked
from llmservice_server.gateway.cache.metrics import lost
from llmservice_server.gateway.toll.wire import RedisDownError, RedisRefusedError

_MOST, _MOST_BYTES = 256, 1 << 24  # answers on their way


class SharedAnswers:
    def __init__(self, redis: Patience, ttl_seconds: int) -> None:
        self._redis, self._ms = redis, ttl_seconds * 1000
        self._storing: set[asyncio.Task[None]] = set()
        self._bytes = 0

    def start(self) -> None:
        self._redis.start()

    async def find(self, key: str) -> Recorded | None:
        try:
            found = await self._redis.call("GET", key)
        except (RedisDownError, RedisRefusedError):
            return None
        return unpacked(found) if isinstance(found, bytes) else None

    def keep(self, key: str, answer: Recorded) -> None:
        if len(self._storing) >= _MOST or self._bytes + answer.size > _MOST_BYTES:
            lost.inc()
            return
        self._bytes += answer.size
        storing = asyncio.ensure_future(self._store(key, answer))
        self._storing.add(storing)
        storing.add_done_callback(self._storing.discard)

    async def close(self) -> None:
        if self._storing:
            await asyncio.wait(self._storing, timeout=1)
        self._redis.close()

    async def _store(self, key: str, answer: Recorded) -> None:
        try:
            await self._redis.call("SET", key, answer.packed(), "PX", self._ms)
        except (RedisDownError, RedisRefusedError):
            lost.inc()
        finally:
            self._bytes -= answer.size
