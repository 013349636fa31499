"""A program: one replica of a server with a small engine, whose one user has 1,000 tokens a month.

Counts in the Redis of the variable REDIS_URL, with the key of KEY; says its port, and serves until
it is killed.
"""

import asyncio

from llmservice_server.config import AuthConfig, Place, Plan, RedisConfig
from llmservice_server.gateway.toll import redis as module

from tests.unit.server.small_engine import SmallEngine, served

QUOTA = 1000


async def _serve() -> None:
    module.SECONDS = 5.0  # a busy machine is no Redis that stalls
    plan = Plan(name="default", monthly_tokens=QUOTA)
    auth = AuthConfig(keys=Place(variable="KEY"), plans=(plan,))
    redis = RedisConfig(url=Place(variable="REDIS_URL"))
    async with served(SmallEngine(seconds_a_word=0.01), auth=auth, redis=redis) as running:
        print(running.port, flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
