"""What holds while Redis is down: in each replica its own counters, or nobody passes.

Promises that a Redis which stalls costs a request at most `redis.SECONDS` and, after a few in a
row, nothing: nobody asks it any more but this, in the background, until it serves. That is one line
in the log and a metric, and its end another. What was used meanwhile is charged to the months'
counters in Redis, where they were not lost; the minutes' begin anew.
"""

import asyncio
import logging
import time

from llmservice_server.gateway.toll.counters import Order, Spent, UnavailableError, Verdict
from llmservice_server.gateway.toll.memory import MemoryCounters
from llmservice_server.gateway.toll.metrics import redis_down
from llmservice_server.gateway.toll.redis import RedisCounters
from llmservice_server.gateway.toll.wire import RedisDownError

_TOLERATED = 3  # failures in a row
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 2.0  # seconds between looks whether it is back, doubling
_log = logging.getLogger("llmservice.redis")


class GuardedCounters:
    """``alone``: counters of this replica, for when Redis is down; None lets nobody pass then."""

    def __init__(self, redis: RedisCounters, alone: MemoryCounters | None) -> None:
        self._redis, self._alone = redis, alone
        self._failures = 0
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._redis.start()

    async def take(self, order: Order) -> Verdict:
        if self._looking is None:
            try:
                verdict = await self._redis.take(order)
            except RedisDownError as error:
                self._failed(error)
            else:
                self._failures = 0
                return verdict
        if self._alone is None:
            raise UnavailableError("Redis does not serve")
        return await self._alone.take(order)

    def settle(self, order: Order, verdict: Verdict, spent: Spent) -> None:
        if not verdict.shared and self._alone:
            self._alone.settle(order, verdict, spent)
            verdict = verdict._replace(seeded=0)
            # What is counted in months was used, whoever counted; the rest is none of Redis'.
            charges = tuple(c for c in order.charges if c.what.startswith("monthly"))
            if not charges:
                return
            order = order._replace(charges=charges)
        self._redis.settle(order, verdict, spent)

    async def close(self) -> None:
        if self._looking:
            self._looking.cancel()
        await self._redis.close()

    def _failed(self, error: RedisDownError) -> None:
        self._failures += 1
        if self._failures == 1 and self._alone:
            self._alone.forget_months()  # they are of another time
        if self._failures < _TOLERATED or self._looking:
            return
        meanwhile = "each replica counts alone" if self._alone else "limited requests are refused"
        _log.warning("Redis %s: %s until it serves", error, meanwhile)
        redis_down.set(1)
        self._looking = asyncio.create_task(self._until_back())

    async def _until_back(self) -> None:
        began, wait = time.monotonic(), _FIRST_WAIT
        while True:
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
            try:
                await self._redis.look()
            except RedisDownError:
                continue
            break
        _log.info("Redis serves again after %.1f s", time.monotonic() - began)
        redis_down.set(0)
        self._failures, self._looking = 0, None
