"""The engine proxy beside LiteLLM's proxy and vllm-router, all before the same instant upstream.

All of them run all the time; in each round each is asked alone, one after the other, and so is the
upstream itself.
"""

import json
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.server import load, request, rivals
from bench.server.figures import Figure
from bench.server.load import Load
from bench.server.process import Command, running
from bench.server.rounds import order
from dev.process import free_port
from dev.progress import say

_AT_ONCE, _SECONDS = 16, 2  # connections that are busy, and the seconds for which
_ALONE = 1  # second on one connection
OURS = "ours"


def upstream(pace: float = 0) -> Command:
    port = free_port()
    program = (sys.executable, "-m", "bench.server.upstream", str(port), f"--pace={pace}")
    return Command("upstream", program, port)


def ours(behind: int, folder: Path, core: int | None = None) -> Command:
    """With the defaults of its configuration, before the upstream at that port."""
    config = {"url": f"http://127.0.0.1:{behind}/v1", "models": [{"name": request.MODEL}]}
    port = free_port()
    file = folder / f"{OURS}.yaml"  # JSON is YAML
    file.write_text(json.dumps({"port": port, "engine": {"type": "proxy", "upstreams": [config]}}))
    program = str(Path(sys.executable).with_name("llmservice-server"))
    return Command(OURS, (program, "serve", f"--config={file}"), port, ready="/readyz", core=core)


@dataclass
class _Rounds:
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


async def measure(rounds: int, folder: Path) -> list[Figure]:
    load.ensure()
    body = folder / "chat.json"
    body.write_bytes(request.chat())
    async with AsyncExitStack() as stack:
        behind = await stack.enter_async_context(running(upstream(), folder))
        commands = (
            ours(behind.port, folder),
            rivals.litellm(behind.port, folder),
            rivals.router(behind.port),
        )
        say(f"proxies: {', '.join(command.name for command in commands)} start …")
        subjects = [behind]
        subjects += [await stack.enter_async_context(running(c, folder)) for c in commands]
        for subject in subjects:  # what is made once is not measured
            await load.whole(subject, _AT_ONCE, _SECONDS, body)
        found = {subject.name: _Rounds() for subject in subjects}
        for number in range(rounds):
            say(f"proxies: round {number + 1} of {rounds}")
            for subject in order(subjects, number):
                seen = found[subject.name]
                seen.busy.append(await load.whole(subject, _AT_ONCE, _SECONDS, body))
                seen.alone.append(await load.whole(subject, 1, _ALONE, body))
    bare, own, litellm, router = found.values()
    return [
        Figure("proxy: CPU a JSON request", own.costs, "ms", target=0.36),
        Figure(
            *("proxy: requests a second and core", own.a_core, "/s", litellm.a_core, "LiteLLM"),
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
        Figure(
            *("LiteLLM: the same", litellm.waits, "ms", bare.waits, "the upstream itself"),
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
