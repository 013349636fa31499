"""SIGTERM to a real process under load, with the controls that show that the tests can fail."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
from llmservice_server.gateway.lifecycle import Lifecycle

# Streams of 3 s at 10 ms a word: they outlast the grace of 1 s and the refusal after it.
_WORDS = 300
_STREAMS = 8
_LIMIT = 60  # seconds for what takes a moment; a machine may be busy


@dataclass(frozen=True)
class Running:
    process: asyncio.subprocess.Process
    client: httpx2.AsyncClient

    async def streams(self, count: int = _STREAMS, words: int = _WORDS) -> list[asyncio.Task[bool]]:
        """Streams, each with its first word here; each tells whether all of it came."""
        begun = [asyncio.Event() for _ in range(count)]
        streams = [asyncio.create_task(self._stream(words, first)) for first in begun]
        async with asyncio.timeout(_LIMIT):
            for first in begun:
                await first.wait()
        return streams

    async def _stream(self, words: int, begun: asyncio.Event) -> bool:
        """Whether the whole stream came, to its sentinel; never retried."""
        body = {"prompt": "x", "max_tokens": words, "stream": True}
        lines: list[str] = []
        try:
            async with self.client.stream("POST", "/v1/completions", json=body) as answer:
                async for line in answer.aiter_lines():
                    begun.set()
                    lines += [line] if line else []
        except httpx2.TransportError:
            return False
        return len(lines) == words + 1 and lines[-1] == "data: [DONE]"

    async def complete(self) -> httpx2.Response:
        return await self.client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1})

    async def until_health(self, status: str) -> None:
        async with asyncio.timeout(_LIMIT):
            while (await self.client.get("/health")).json()["status"] != status:
                await asyncio.sleep(0.05)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def exit_code(self) -> int:
        return await asyncio.wait_for(self.process.wait(), _LIMIT)


@asynccontextmanager
async def _running(*arguments: str) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.unit.server.small_engine", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        port = int(await asyncio.wait_for(process.stdout.readline(), _LIMIT))
        url = f"http://127.0.0.1:{port}"
        async with httpx2.AsyncClient(base_url=url, timeout=_LIMIT) as client:
            yield Running(process, client)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_sigterm_lets_every_stream_finish_and_exits_with_zero() -> None:
    async with _running() as server:
        streams = await server.streams()
        server.terminate()
        assert await asyncio.gather(*streams) == [True] * _STREAMS
        assert await server.exit_code() == 0


async def test_control_without_the_gateway_the_streams_break() -> None:
    async with _running("--bare") as server:
        streams = await server.streams()
        server.terminate()
        assert not any(await asyncio.gather(*streams))
        assert await server.exit_code() == 1  # nobody noted that it was told to stop


async def test_control_with_no_time_to_drain_the_streams_break() -> None:
    async with _running("--grace", "0", "--timeout", "0") as server:
        streams = await server.streams()
        server.terminate()
        assert not any(await asyncio.gather(*streams))
        assert await server.exit_code() == 0


async def test_a_second_sigterm_does_not_cut_the_drain_short() -> None:
    async with _running() as server:
        (stream,) = await server.streams(1, words=2 * _WORDS)
        server.terminate()
        for status in ("draining", "refusing"):
            await server.until_health(status)
            server.terminate()
        assert await stream
        assert await server.exit_code() == 0


async def test_sigint_ends_it_at_once_and_is_no_failure() -> None:
    async with _running("--grace", "60") as server:
        streams = await server.streams()
        server.process.send_signal(signal.SIGINT)
        assert not any(await asyncio.gather(*streams))
        assert await server.exit_code() == 0


async def test_draining_serves_through_the_grace_and_then_refuses_with_retry_after() -> None:
    grace = 8
    async with _running("--grace", str(grace)) as server:
        await server.until_health("ready")
        (stream,) = await server.streams(1, words=5 * _WORDS)
        began = time.monotonic()
        server.terminate()

        await server.until_health("draining")
        assert (await server.client.get("/readyz")).status_code == 503
        served = await server.complete()
        assert served.status_code == 200
        assert served.headers["connection"] == "close"

        await server.until_health("refusing")
        assert time.monotonic() - began >= grace
        refused = await server.complete()
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["connection"] == "close"
        assert refused.json()["error"]["type"] == "service_unavailable"
        assert (await server.client.get("/livez")).status_code == 200
        assert (await server.client.get("/metrics")).status_code == 200
        assert await stream


async def test_what_is_in_flight_after_the_timeout_is_given_up() -> None:
    async with _running("--timeout", "1") as server:
        (stream,) = await server.streams(1, words=20 * _WORDS)
        began = time.monotonic()
        server.terminate()
        assert await server.exit_code() == 0
        assert time.monotonic() - began >= 2  # the grace and the timeout, a second each
        assert not await stream


async def test_no_time_at_all_is_enough_when_nothing_is_in_flight() -> None:
    lifecycle = Lifecycle()
    assert await lifecycle.idle(0)
    lifecycle.begin()
    assert not await lifecycle.idle(0)
