"""Streams of a real engine, in waves: so many are sent at once, and the last one's end ends it."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from typing import cast

from bench.server import request
from bench.server.process import ServerError

_SECONDS = 120.0  # for a wave


@dataclass(frozen=True)
class Wave:
    """Its seconds, and those until the first event of its streams, at the median."""

    seconds: float
    first: float


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport
        self._ended: asyncio.Future[None] | None = None
        self._sent = 0.0
        self._heard = b""
        self.first = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    async def ask(self, body: bytes) -> None:
        """Return with the stream's end; `first` is then its first event's seconds."""
        self._ended = asyncio.get_running_loop().create_future()
        self.first, self._heard = 0.0, b""
        self._sent = time.perf_counter()
        self._transport.write(request.http(request.PATH, body))
        await self._ended

    def data_received(self, data: bytes) -> None:
        if not self.first and b"data: {" in data:
            self.first = time.perf_counter() - self._sent
        self._heard = self._heard[-64:] + data
        if self._heard.endswith(b"0\r\n\r\n") and self._ended and not self._ended.done():
            if self.first and b"[DONE]" in self._heard:
                self._ended.set_result(None)
            else:
                self._ended.set_exception(ServerError(f"no stream: {data[:300]!r}"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._ended and not self._ended.done():
            self._ended.set_exception(ServerError(f"a stream was cut: {self._heard[-300:]!r}"))

    def close(self) -> None:
        self._transport.close()


async def wave(port: int, questions: Sequence[int], tokens: int) -> Wave:
    """One stream for each question, on connections that are opened before."""
    async with asyncio.timeout(_SECONDS), AsyncExitStack() as stack:
        connections: list[_Connection] = []
        for _ in questions:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
            stack.callback(connection.close)
            connections.append(connection)
        asked = zip(connections, (_question(q, tokens) for q in questions), strict=True)
        begun = time.perf_counter()
        await asyncio.gather(*(connection.ask(body) for connection, body in asked))
        seconds = time.perf_counter() - begun
    return Wave(seconds, median(connection.first for connection in connections))


def _question(number: int, tokens: int) -> bytes:
    """Every answer is as long as it may be."""
    return json.dumps(
        {
            "model": request.MODEL,
            "messages": [{"role": "user", "content": f"{number}: what is this number good for?"}],
            "max_tokens": tokens,
            "ignore_eos": True,
            "temperature": 0,
            "stream": True,
        }
    ).encode()
