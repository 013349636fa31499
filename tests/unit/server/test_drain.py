"""SIGTERM to a real process under load, with the controls that show that the tests can fail."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

# Streams of 3 s at 10 ms a word: they outlast the grace of 1 s and the refusal after it.
_WORDS = 300
_STREAMS = 8


@dataclass(frozen=True)
class Running:
    process: asyncio.subprocess.Process
    url: str

    async def stream(self, words: int = _WORDS) -> bool:
        """Whether the whole stream came, to its sentinel; never retried."""
        body = {"prompt": "x", "max_tokens": words, "stream": True}
        try:
            async with (
                httpx2.AsyncClient(timeout=30) as client,
                client.stream("POST", f"{self.url}/v1/completions", json=body) as answer,
            ):
                lines = [line async for line in answer.aiter_lines() if line]
        except httpx2.TransportError:
            return False
        return len(lines) == words + 1 and lines[-1] == "data: [DONE]"

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


@asynccontextmanager
async def _running(*arguments: str) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.unit.server.small_engine", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        port = int(await asyncio.wait_for(process.stdout.readline(), 30))
        yield Running(process, f"http://127.0.0.1:{port}")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _until_status(client: httpx2.AsyncClient, path: str, status: int) -> None:
    async with asyncio.timeout(5):
        while (await client.get(path)).status_code != status:
            await asyncio.sleep(0.02)


async def test_sigterm_lets_every_stream_finish_and_exits_with_zero() -> None:
    async with _running() as server:
        streams = [asyncio.create_task(server.stream()) for _ in range(_STREAMS)]
        await asyncio.sleep(0.5)
        server.terminate()
        assert await asyncio.gather(*streams) == [True] * _STREAMS
        assert await asyncio.wait_for(server.process.wait(), 5) == 0


async def test_control_without_the_gateway_the_streams_break() -> None:
    async with _running("--bare") as server:
        streams = [asyncio.create_task(server.stream()) for _ in range(_STREAMS)]
        await asyncio.sleep(0.5)
        server.terminate()
        assert not any(await asyncio.gather(*streams))


async def test_control_with_no_time_to_drain_the_streams_break() -> None:
    async with _running("--grace", "0", "--timeout", "0") as server:
        streams = [asyncio.create_task(server.stream()) for _ in range(_STREAMS)]
        await asyncio.sleep(0.5)
        server.terminate()
        assert not any(await asyncio.gather(*streams))
        assert await asyncio.wait_for(server.process.wait(), 5) == 0


async def test_a_second_sigterm_does_not_cut_the_drain_short() -> None:
    async with _running() as server:
        stream = asyncio.create_task(server.stream())
        await asyncio.sleep(0.5)
        for _ in range(4):
            server.terminate()
            await asyncio.sleep(0.5)
        assert await stream
        assert await asyncio.wait_for(server.process.wait(), 5) == 0


async def test_draining_serves_through_the_grace_and_then_refuses_with_retry_after() -> None:
    async with (
        _running("--grace", "3") as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        await _until_status(client, "/readyz", 200)
        stream = asyncio.create_task(server.stream(words=600))
        await asyncio.sleep(0.2)
        server.terminate()
        began = time.monotonic()

        await _until_status(client, "/readyz", 503)
        assert (await client.get("/readyz")).json()["status"] == "draining"
        body = {"prompt": "x", "max_tokens": 1}
        served = await client.post("/v1/completions", json=body)
        assert time.monotonic() - began < 3, "too slow to have asked within the grace"
        assert served.status_code == 200
        assert served.headers["connection"] == "close"

        await asyncio.sleep(3.3 - (time.monotonic() - began))
        refused = await client.post("/v1/completions", json=body)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["connection"] == "close"
        assert refused.json()["error"]["type"] == "service_unavailable"
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/metrics")).status_code == 200
        assert await stream


async def test_what_is_in_flight_after_the_timeout_is_given_up() -> None:
    async with _running("--timeout", "1") as server:
        stream = asyncio.create_task(server.stream(words=2000))
        await asyncio.sleep(0.3)
        server.terminate()
        began = time.monotonic()
        assert await asyncio.wait_for(server.process.wait(), 10) == 0
        assert time.monotonic() - began >= 2  # the grace and the timeout, a second each
        assert not await stream
