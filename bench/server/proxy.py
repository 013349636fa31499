"""The engine proxy beside LiteLLM's proxy and vllm-router, all before the same instant upstream.

All of them run all the time; in each round each is asked alone, one after the other, and so is the
upstream itself. Then ours is started anew as often as there are rounds.
"""

import json
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.server import litellm, load, request, rivals
from bench.server.figures import Figure
from bench.server.load import Load
from bench.server.process import Command, Server, running, start
from bench.server.rounds import order
from dev.process import free_port
from dev.progress import say

_AT_ONCE, _SECONDS = 16, 2  # connections that are busy, and the seconds for which
_ALONE = 2  # seconds on one connection
OURS = "ours"
PROGRAM = str(Path(sys.executable).with_name("llmservice-server"))


def upstream(pace: float = 0) -> Command:
    port = free_port()
    program = (sys.executable, "-m", "bench.server.upstream", str(port), f"--pace={pace}")
    return Command("upstream", program, port)


def ours(behind: int, file: Path, **parts: object) -> Command:
    """Before the upstream at that port. parts: of the configuration, beside its defaults, which the
    file gets.
    """
    upstream = {"url": f"http://127.0.0.1:{behind}/v1", "models": [{"name": request.MODEL}]}
    port = free_port()
    engine = {"type": "proxy", "upstreams": [upstream]}
    file.write_text(json.dumps({"port": port, "engine": engine, **parts}))  # JSON is YAML
    words = (PROGRAM, "serve", f"--config={file}")
    return Command(OURS, words, port, ready="/readyz")


@dataclass
class Rounds:
    """busy: on many connections. alone: on one."""

    busy: list[Load] = field(default_factory=list[Load])
    alone: list[Load] = field(default_factory=list[Load])

    @property
    def costs(self) -> list[float]:
        """CPU milliseconds a request."""
        return [found.cost / 1000 for found in self.busy]

    @property
    def a_core(self) -> list[float]:
        """Requests a second, for each core that it used."""
        return [1000 / cost for cost in self.costs]

    @property
    def waits(self) -> list[float]:
        """Milliseconds at the median of one connection."""
        return [found.median / 1000 for found in self.alone]

    @property
    def longest(self) -> list[float]:
        """The same at p99."""
        return [found.p99 / 1000 for found in self.alone]


async def measure(rounds: int, folder: Path) -> list[Figure]:
    load.ensure()
    body = folder / "chat.json"
    body.write_bytes(request.chat())
    async with AsyncExitStack() as stack:
        behind = await stack.enter_async_context(running(upstream(), folder))
        commands = (
            ours(behind.port, folder / "ours.yaml"),
            litellm.proxy(behind.port, folder),
            rivals.router(behind.port),
        )
        say(f"proxies: {', '.join(command.name for command in commands)} start …")
        subjects = [behind]
        subjects += [await stack.enter_async_context(running(c, folder)) for c in commands]
        found = await asked("proxies", subjects, rounds, body)
        starts = await _starts(behind.port, folder, rounds)
    bare, own, lite, router = found.values()
    return [
        Figure("proxy: CPU a JSON request", own.costs, "ms", target=0.36),
        Figure(
            *("proxy: requests a second and core", own.a_core, "/s", lite.a_core, litellm.NAME),
            target=30,
            at_least=True,
        ),
        Figure(
            *("proxy: requests a second and core", own.a_core, "/s", router.a_core, "vllm-router"),
            target=0.25,
            at_least=True,
        ),
        Figure(
            *("proxy: one connection, median", own.waits, "ms", bare.waits, "the upstream itself"),
            by="difference",
            target=0.5,
        ),
        Figure("proxy: start (exec of llmservice-server to /readyz 200)", starts, "s", target=2),
        Figure(
            *("LiteLLM: the same", lite.waits, "ms", bare.waits, "the upstream itself"),
            by="difference",
        ),
        Figure(
            *("vllm-router: the same", router.waits, "ms", bare.waits, "the upstream itself"),
            by="difference",
        ),
        *(
            Figure(f"{name}: {_AT_ONCE} connections", [x.rate for x in seen.busy], "requests/s")
            for name, seen in found.items()
        ),
    ]


async def _starts(behind: int, folder: Path, rounds: int) -> list[float]:
    """Seconds of each start, beside those that run and have nothing to do."""
    ends = {"drain": {"graceSeconds": 0}}  # at once
    commands = [ours(behind, folder / f"start-{n}.yaml", **ends) for n in range(rounds)]
    return [await start(replace(command, name="start"), folder) for command in commands]


async def asked(what: str, subjects: list[Server], rounds: int, body: Path) -> dict[str, Rounds]:
    for subject in subjects:  # what is made once is not measured
        await load.whole(subject, _AT_ONCE, _SECONDS, body)
    found = {subject.name: Rounds() for subject in subjects}
    for number in range(rounds):
        say(f"{what}: round {number + 1} of {rounds}")
        for subject in order(subjects, number):
            seen = found[subject.name]
            seen.busy.append(await load.whole(subject, _AT_ONCE, _SECONDS, body))
            seen.alone.append(await load.whole(subject, 1, _ALONE, body))
    return found
