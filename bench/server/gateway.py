"""The gateway alone, before an engine that answers at once: what it costs, and what it keeps.

From outside, over a socket, beside the same engine without it; inside, without sockets, where also
a streamed chunk can be told from what the server makes of it.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.server import load, request
from bench.server.figures import Figure
from bench.server.process import Command, Server, ServerError, running
from bench.server.rounds import order
from dev.process import free_port
from dev.progress import say

_AT_ONCE, _SECONDS = 16, 2  # connections that are busy, and the seconds for which
_FIRST, _MORE = 100_000, 90_000  # requests before memory is looked at, and after, a round
_SOAK = 10  # seconds, before the requests are counted again
_START, _A_ROUND = 30.0, 10.0  # seconds that being called inside may take
BARE = "bare"


async def measure(rounds: int, folder: Path) -> list[Figure]:
    load.ensure()
    body = folder / "chat.json"
    body.write_bytes(request.chat())
    say("gateway: inside …")
    inside = await _inside(rounds)
    async with AsyncExitStack() as stack:
        subjects = [
            await stack.enter_async_context(running(_instant(name, *flags), folder))
            for name, flags in ((BARE, ()), ("gateway", ("--gateway",)))
        ]
        for subject in subjects:  # what is made once is not measured
            await load.whole(subject, _AT_ONCE, _SECONDS, body)
        busy: dict[str, list[load.Load]] = {subject.name: [] for subject in subjects}
        alone: dict[str, list[load.Load]] = {subject.name: [] for subject in subjects}
        memory = _Memory(subjects[1])
        for number in range(rounds):
            say(f"gateway: round {number + 1} of {rounds}")
            for subject in order(subjects, number):
                alone[subject.name].append(await load.whole(subject, 1, _SECONDS, body))
                busy[subject.name].append(await load.whole(subject, _AT_ONCE, _SECONDS, body))
            memory.sent(busy[memory.gateway.name][-1], alone[memory.gateway.name][-1])
        await memory.soak(_FIRST + rounds * _MORE, body)
        grown = memory.grown
    bare, own = alone.values()
    without, much = busy.values()
    return [
        _added("over a socket: median", [x.median for x in own], [x.median for x in bare], 100),
        _added("over a socket: p99", [x.p99 for x in own], [x.p99 for x in bare], 300),
        _added("over a socket: CPU", [x.cost for x in much], [x.cost for x in without]),
        _added("inside: median", *_both(inside, 0), 100),
        _added("inside: p99", *_both(inside, 1), 300),
        _added("inside: a streamed chunk", *_both(inside, 2), 2),
        Figure(
            f"gateway: memory from {_FIRST:,} to {memory.requests:,} requests",
            [grown],
            "MiB",
            target=1,
        ),
    ]


def _added(what: str, own: list[float], bare: list[float], target: float | None = None) -> Figure:
    """In microseconds."""
    return Figure(f"gateway, {what}", own, "µs", bare, BARE, "difference", target)


def _both(rounds: list[dict[str, list[float]]], which: int) -> tuple[list[float], list[float]]:
    own, bare = ([found[name][which] for found in rounds] for name in ("behind", "bare"))
    return own, bare


def _instant(name: str, *flags: str) -> Command:
    port = free_port()
    return Command(name, (sys.executable, "-m", "bench.server.instant", str(port), *flags), port)


async def _inside(rounds: int) -> list[dict[str, list[float]]]:
    """By round and side: microseconds of a request at the median and p99, and of a chunk."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.server.instant", "--inside", str(rounds)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_START + rounds * _A_ROUND):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise ServerError(f"the gateway, called inside, ended with {process.returncode}")
    return json.loads(said)


@dataclass
class _Memory:
    """What the gateway grows by, beyond its first requests."""

    gateway: Server
    requests: int = 0
    _before: float = 0.0

    @property
    def grown(self) -> float:
        """MiB."""
        return self.gateway.resident() - self._before

    def sent(self, *loads: load.Load) -> None:
        self.requests += sum(found.requests for found in loads)
        if not self._before and self.requests >= _FIRST:
            self._before = self.gateway.resident()

    async def soak(self, until: int, body: Path) -> None:
        while self.requests < until:
            say(f"gateway: {self.requests:,} of {until:,} requests for its memory")
            seconds = _SOAK if self.requests >= _FIRST else _SECONDS
            self.sent(await load.whole(self.gateway, _AT_ONCE, seconds, body))
