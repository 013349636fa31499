"""Many streams at once, watched from the client's end, on one event loop.

How late an event is, is told by the event: its upstream wrote into it when it was sent, by the same
machine's clock. Of events that come together the first is the latest.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

from bench.server import request
from bench.server.process import ServerError

_SENT = re.compile(rb'"content": ?"(\d+)"')
_BATCH, _PAUSE = 20, 0.02  # streams that are begun at once, and seconds between two such


@dataclass
class Seen:
    """opened: streams whose answer began; ended: those whose last event came; lost: those that
    ended without. late: the seconds by which the latest event was late since `late` was last set.
    """

    opened: int = 0
    ended: int = 0
    lost: int = 0
    events: int = 0
    late: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class _Stream(asyncio.Protocol):
    def __init__(self, seen: Seen, asked: bytes) -> None:
        self._seen, self._asked = seen, asked
        self._begun = self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.WriteTransport", transport).write(self._asked)

    def data_received(self, data: bytes) -> None:
        seen = self._seen
        if found := _SENT.search(data):
            seen.events += 1
            seen.late = max(seen.late, (time.monotonic_ns() - int(found[1])) / 1e9)
            if not self._begun:
                self._begun = True
                seen.opened += 1
                seen.changed.set()
        if b"[DONE]" in data:
            self._ended = True
            seen.ended += 1
            seen.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if not self._ended:
            self._seen.lost += 1
            self._seen.changed.set()


@asynccontextmanager
async def opened(port: int, streams: int, tokens: int, limit: float) -> AsyncGenerator[Seen]:
    """So many streams that have begun; they are left at the end of the block."""
    seen, loop = Seen(), asyncio.get_running_loop()
    asked = request.http(request.PATH, request.chat(stream=True, tokens=tokens))
    transports: list[asyncio.BaseTransport] = []
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                for number in range(streams):
                    transport, _ = await loop.create_connection(
                        lambda: _Stream(seen, asked), "127.0.0.1", port
                    )
                    transports.append(transport)
                    if number % _BATCH == 0:
                        await asyncio.sleep(_PAUSE)
                while seen.opened + seen.lost < streams:
                    seen.changed.clear()
                    await seen.changed.wait()
        if seen.opened < streams:
            raise ServerError(f"{seen.opened} of {streams} streams began within {limit:.0f} s")
        yield seen
    finally:
        for transport in transports:
            transport.close()
