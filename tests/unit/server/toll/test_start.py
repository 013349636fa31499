"""A Redis that takes long to connect to: a server begins with that before anybody asks."""

import asyncio
from typing import Any

import pytest
from llmservice_server.config import (
    AuthConfig,
    CacheConfig,
    IdempotencyConfig,
    Place,
    RedisConfig,
)
from llmservice_server.config.redis import address_of
from llmservice_server.gateway.answers.patience import Patience
from llmservice_server.gateway.toll.counters import UnavailableError, What
from llmservice_server.gateway.toll.down import GuardedCounters
from llmservice_server.gateway.toll.redis import RedisCounters
from llmservice_server.gateway.toll.wire import RedisDownError, Wire

from dev.process import free_port
from dev.redis import Redis
from tests.unit.server.redis_words import say
from tests.unit.server.small_engine import SmallEngine, served
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


@pytest.mark.parametrize("starts", [True, False], ids=["started", "control"])
async def test_nor_does_who_asks_for_what_is_kept_there(url: str, *, starts: bool) -> None:
    redis = Patience(Wire(address_of(url), _SECONDS / 10))
    if starts:
        redis.start()
    await asyncio.sleep(1.5 * _SECONDS)
    try:
        assert await redis.call("GET", "nothing") is None
    except RedisDownError:
        assert not starts
    else:
        assert starts
    redis.close()


async def test_all_that_redis_is_asked_for_is_connected_before_the_first_request(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits, answers, claims and nonces, each on a connection of its own."""
    for name, value in {"REDIS": redis.url, "KEY": "a-key-of-the-tests", "PEPPER": "p"}.items():
        monkeypatch.setenv(name, value)

    async def connections() -> int:
        return (await say(redis, "CLIENT", "LIST")).count(b" addr=") - 1  # this one

    assert await connections() == 0
    secrets = {"keys": Place(variable="KEY"), "pepper": Place(variable="PEPPER")}
    parts = {
        "auth": AuthConfig(signed=True, **secrets),
        "redis": RedisConfig(url=Place(variable="REDIS")),
        "cache": CacheConfig(),
        "idempotency": IdempotencyConfig(),
    }
    async with served(SmallEngine(), **parts), asyncio.timeout(30):
        while await connections() != 4:
            await asyncio.sleep(0.05)


async def test_a_redis_that_is_not_there_holds_up_no_start() -> None:
    address = address_of(f"redis://127.0.0.1:{free_port()}/0")
    counters = GuardedCounters(RedisCounters(address, "start"), None)
    counters.start()
    await asyncio.sleep(0)
    await counters.close()
