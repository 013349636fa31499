"""A Redis that takes long to connect to: a server begins with that before anybody asks."""

import asyncio
from typing import Any

import pytest
from llmservice_server.config.redis import address_of
from llmservice_server.gateway.toll.counters import UnavailableError, What
from llmservice_server.gateway.toll.down import GuardedCounters
from llmservice_server.gateway.toll.redis import RedisCounters

from dev.process import free_port
from dev.redis import Redis
from tests.unit.server.toll.words import charge, order

_SECONDS = 1.0  # of a lookup, where a request waits for a tenth of one


@pytest.fixture
async def url(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> str:
    """By a name that takes long to look up."""
    loop = asyncio.get_running_loop()
    look_up = loop.getaddrinfo

    async def slowly(*words: Any, **named: Any) -> Any:
        await asyncio.sleep(_SECONDS)
        return await look_up(*words, **named)

    monkeypatch.setattr(loop, "getaddrinfo", slowly)
    return redis.url.replace("127.0.0.1", "localhost")


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("starts", [True, False], ids=["started", "control"])
async def test_the_first_request_does_not_wait_for_a_connection(url: str, *, starts: bool) -> None:
    counters = GuardedCounters(RedisCounters(address_of(url), "start"), None)
    if starts:
        counters.start()
    await asyncio.sleep(1.5 * _SECONDS)
    try:
        assert (await counters.take(order(charge(What.REQUESTS, 10)))).shared
    except UnavailableError:
        assert not starts
    else:
        assert starts
    await counters.close()


async def test_a_redis_that_is_not_there_holds_up_no_start() -> None:
    address = address_of(f"redis://127.0.0.1:{free_port()}/0")
    counters = GuardedCounters(RedisCounters(address, "start"), None)
    counters.start()
    await asyncio.sleep(0)
    await counters.close()
