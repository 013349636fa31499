"""A program: one replica's counters, which orders again and again once it is told to.

``racer URL WHAT LIMIT COST ORDERS SEED [CLOCK]`` waits for a line with the time at which to begin,
says how many passed and waits for another one before it ends: whoever kills it in between kills it
with all of them in flight.
"""

import asyncio
import sys
import time

from llmservice_server.config.redis import address_of
from llmservice_server.gateway.toll import redis as module
from llmservice_server.gateway.toll.counters import Seed, What
from llmservice_server.gateway.toll.redis import RedisCounters

from tests.unit.server.toll.words import charge, order

_PAUSE = 0.005  # or on a busy machine the first to run takes all before another one runs


async def _race(url: str, what: What, numbers: list[int], clock: list[str]) -> None:
    limit, cost, orders, used = numbers
    module.SECONDS = 5.0  # a busy machine is no Redis that stalls
    counters = RedisCounters(address_of(url), "test", *clock)
    await counters.take(order())  # connects
    print("ready", flush=True)  # noqa: T201
    begins = float(await asyncio.to_thread(sys.stdin.readline))
    await asyncio.sleep(max(0.0, begins - time.time()))

    async def one() -> bool:
        asked = order(charge(what, limit, cost))
        verdict = await counters.take(asked)
        if verdict.unseeded:
            verdict = await counters.take(asked._replace(seed=Seed(verdict.month, used, used)))
        return verdict.refused is None and not verdict.unseeded

    results: list[bool] = []
    for _ in range(orders // 4):
        results += await asyncio.gather(*(one() for _ in range(4)))
        await asyncio.sleep(_PAUSE)
    print(sum(results), flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    url, what, *rest = sys.argv[1:]
    asyncio.run(_race(url, What(what), [int(number) for number in rest[:4]], rest[4:]))
