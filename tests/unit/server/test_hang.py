"""An engine that hangs or dies turns /livez red; one that works or has nothing to do never does."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from llmservice_server.config import LivenessConfig, ModelConfig, ServerConfig
from llmservice_server.engines.hang import Hang
from llmservice_server.engines.vllm import SIGNS, VllmEngine
from llmservice_server.gateway.asgi import Receive, Scope, Send
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.health import Health
from prometheus_client import REGISTRY, Counter

_MODEL = ModelConfig(uri="file:///m", source="/m", served_name="small")


def _still(hang: Hang, seconds: int, *, requests: int = 1, sign: object = 0, begin: int = 0) -> int:
    """Look each second; returns the time of the last look."""
    for second in range(begin, begin + seconds + 1):
        hang.look(second, requests=requests, sign=sign)
    return begin + seconds


def test_requests_without_a_token_for_the_set_time_are_a_hang_that_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hang = Hang(300)
    now = _still(hang, 299, requests=3)
    assert hang.reason is None
    _still(hang, 20, requests=3, begin=now)
    assert hang.reason
    assert "3 requests and not one token for 300 s" in hang.reason
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert caplog.messages == [hang.reason]


def test_an_engine_without_requests_never_hangs() -> None:
    hang = Hang(300)
    _still(hang, 10_000, requests=0)
    assert hang.reason is None


def test_one_token_now_and_then_is_enough() -> None:
    hang = Hang(300)
    now = 0
    for token in range(20):
        now = _still(hang, 299, sign=token, begin=now)
    assert hang.reason is None


def test_only_time_with_a_request_all_along_counts() -> None:
    hang = Hang(300)
    now = 0
    for _ in range(20):
        now = _still(hang, 299, begin=now)
        now = _still(hang, 1, requests=0, begin=now)
    assert hang.reason is None


def test_time_in_which_nobody_looked_does_not_count() -> None:
    hang = Hang(300)
    _still(hang, 10)
    _still(hang, 10, begin=100_000)
    assert hang.reason is None


def test_what_moves_again_is_no_longer_hung() -> None:
    hang = Hang(300)
    now = _still(hang, 400)
    assert hang.reason
    _still(hang, 1, sign=1, begin=now)
    assert hang.reason is None


def test_zero_seconds_is_never() -> None:
    hang = Hang(0)
    _still(hang, 10_000)
    assert hang.reason is None


class _Client:
    """vLLM's engine client."""

    errored = False
    requests = 0

    def get_num_unfinished_requests(self) -> int:
        return self.requests

    async def get_supported_tasks(self) -> tuple[str, ...]:
        return ("generate",)


@pytest.fixture
def tokens() -> Iterator[Counter]:
    """vLLM's own metric; its name is what `SIGNS` has."""
    name = "vllm:generation_tokens"
    assert f"{name}_total" in SIGNS
    counter = Counter(name, "Number of generation tokens processed.", ("model_name",))
    yield counter
    REGISTRY.unregister(counter)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("no probe reaches the engine")


@asynccontextmanager
async def _watched(client: _Client) -> AsyncIterator[httpx2.AsyncClient]:
    config = ServerConfig(model=_MODEL, liveness=LivenessConfig(hang_seconds=2))
    engine = VllmEngine(config)
    context = Context(config, engine)
    await engine.attach(client)
    context.lifecycle.ready()
    watching = asyncio.create_task(engine.watch(context.lifecycle))
    transport = httpx2.ASGITransport(Health(_nothing, context))
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://x") as probes:
            yield probes
    finally:
        watching.cancel()


async def _red(probes: httpx2.AsyncClient, within: float) -> str | None:
    """Why /livez is red, if it is before the time is over."""
    try:
        async with asyncio.timeout(within):
            while (answer := await probes.get("/livez")).status_code == 200:
                await asyncio.sleep(0.05)
    except TimeoutError:
        return None
    return answer.json()["reason"]


async def test_livez_turns_red_when_vllm_has_requests_and_gives_no_token(tokens: Counter) -> None:
    tokens.labels("small").inc()
    client = _Client()
    client.requests = 1
    async with _watched(client) as probes:
        reason = await _red(probes, within=2 + 5)
        assert reason
        assert reason.startswith("the engine is hung: 1 requests and not one token for 2 s")


async def test_livez_stays_green_while_tokens_come(tokens: Counter) -> None:
    client = _Client()
    client.requests = 1

    async def give() -> None:
        while True:
            tokens.labels("small").inc()
            await asyncio.sleep(0.3)

    giving = asyncio.create_task(give())
    async with _watched(client) as probes:
        assert await _red(probes, within=4) is None
        giving.cancel()
        assert await _red(probes, within=7)


async def test_a_crash_turns_livez_red_at_once(tokens: Counter) -> None:
    tokens.labels("small").inc()
    client = _Client()
    async with _watched(client) as probes:
        assert await _red(probes, within=0.5) is None
        client.errored = True
        assert "died" in (await _red(probes, within=5) or "")


async def test_vllm_without_statistics_is_not_watched_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = _Client()
    client.requests = 1
    async with _watched(client) as probes:
        assert await _red(probes, within=3) is None
    assert "vLLM keeps no statistics" in caplog.text
