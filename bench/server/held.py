"""A thousand streams that are open at once, held by the engine proxy on one core.

Each gets an event every twentieth of a second, as a token of a quick model. The client and the
upstream keep off that core; what they are late by without a proxy is measured first.
"""

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bench.server import proxy, streams
from bench.server.figures import Figure
from bench.server.process import Server, ServerError, running
from dev.progress import say

STREAMS, _PACE = 1000, 0.05  # and seconds between two events of a stream
_WATCHED, _SLACK = 5.0, 60.0  # seconds that are watched, and that opening may take


@dataclass(frozen=True)
class _Held:
    late: float  # milliseconds, of the latest event of all
    a_stream: float  # KiB
    an_event: float  # CPU microseconds
    cores: float


async def measure(rounds: int, folder: Path) -> list[Figure]:
    """Ours is started anew in each round, for its memory."""
    bare: list[_Held] = []
    own: list[_Held] = []
    cores = os.sched_getaffinity(0)
    core = max(cores)
    os.sched_setaffinity(0, cores - {core} or cores)  # and what is started from here
    try:
        for number in range(rounds):
            say(f"{STREAMS} streams: round {number + 1} of {rounds}")
            async with AsyncExitStack() as stack:
                behind = await stack.enter_async_context(running(proxy.upstream(_PACE), folder))
                bare.append(await _hold(behind))
                command = replace(proxy.ours(behind.port, folder / "ours.yaml"), core=core)
                own.append(await _hold(await stack.enter_async_context(running(command, folder))))
    finally:
        os.sched_setaffinity(0, cores)
    return [
        Figure(f"{STREAMS} streams without a proxy: latest event", [x.late for x in bare], "ms"),
        Figure(f"proxy, {STREAMS} streams: latest event", [x.late for x in own], "ms", target=50),
        Figure(
            f"proxy, {STREAMS} streams: memory a stream",
            [x.a_stream for x in own],
            "KiB",
            target=150,
        ),
        Figure(f"proxy, {STREAMS} streams: CPU an event", [x.an_event for x in own], "µs"),
        Figure(f"proxy, {STREAMS} streams: cores used", [x.cores for x in own]),
    ]


async def _hold(server: Server) -> _Held:
    before = server.resident()
    tokens = int((_SLACK + _WATCHED) / _PACE)
    async with streams.opened(server.port, STREAMS, tokens, _SLACK) as seen:
        memory = 1024 * (server.resident() - before) / STREAMS
        seen.late, events, cpu = 0.0, seen.events, server.cpu()
        await asyncio.sleep(_WATCHED)
        late, events, cpu = seen.late, seen.events - events, server.cpu() - cpu
        if seen.lost:
            raise ServerError(f"{server.name} lost {seen.lost} of {STREAMS} streams")
    return _Held(1000 * late, memory, 1e6 * cpu / max(1, events), cpu / _WATCHED)
