"""A real Redis for a session, empty for each test."""

import asyncio
from collections.abc import Iterator

import pytest
from devcluster.waiting import ClusterError
from llmservice_server.config.redis import address_of
from llmservice_server.gateway.toll import redis as counters
from llmservice_server.gateway.toll.wire import Wire

from dev.redis import Redis


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    try:
        server = Redis()
    except ClusterError as error:
        pytest.skip(str(error))
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no Redis that stalls."""
    monkeypatch.setattr(counters, "SECONDS", 5.0)


@pytest.fixture
def hurried(_patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the server is."""
    monkeypatch.setattr(counters, "SECONDS", 0.1)


@pytest.fixture
def redis(redis_server: Redis) -> Redis:
    """It runs and holds nothing, whatever the test before did to it."""
    redis_server.close()
    redis_server.start()
    return redis_server


async def say(server: Redis, *words: bytes | str | int) -> object:
    """Ask it something beside the counters."""
    wire = Wire(address_of(server.url), 5)
    try:
        return await wire.call(*words)
    finally:
        wire.close()
        await asyncio.sleep(0)
