"""The engine vllm beside bare vLLM: the same image, the same model, the same flags.

Both run, and one is stopped (SIGSTOP) while the other is asked: an idle vLLM spins, and on two
cores takes up to half of what the other one has. They take turns wave by wave, so that a machine
that is slower for a second is so for both, and each wave is a pair with the other's of the same
questions. One start of a vLLM may be faster than another by several hundredths for as long as it
runs: so both are started anew a few times. The model is computed by one thread, which has a core
for itself; the other core is for all else, the client too, as a GPU leaves it the processor.
"""

import asyncio
import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from bench.server import image, request, tokens
from bench.server.figures import Figure
from bench.server.process import Command, Server, running
from bench.server.rounds import order
from bench.server.tokens import Wave
from dev import model
from dev.process import free_port
from dev.progress import say

OURS, BARE = "engine vllm", "bare vLLM"
_ARGS = {"dtype": "float32", "max-model-len": 1024, "enforce-eager": True}
_START = 300.0  # seconds until vLLM serves
_WAKES = 0.1  # seconds for what was stopped to catch up
_SITTINGS = 3  # starts of the servers, for as many rounds or more


@dataclass(frozen=True)
class _Load:
    """So many streams at once, of so many tokens, and so many such waves in a round."""

    streams: int
    tokens: int
    waves: int


_LOADS = (
    *(_Load(1, 1, 16), _Load(1, 32, 3)),
    *(_Load(8, 1, 6), _Load(8, 32, 2)),
    *(_Load(32, 1, 2), _Load(32, 32, 1)),
)


@dataclass(frozen=True)
class _Pair:
    """Two waves of the same questions."""

    sitting: int
    own: Wave
    bare: Wave


_Found = Mapping[_Load, list[_Pair]]


async def measure(rounds: int, folder: Path) -> list[Figure]:
    weights, root = model.prepare(), image.unpacked()
    commands = (ours(root, weights, folder), _bare(root, weights, folder))
    found: _Found = {each: [] for each in _LOADS}
    questions = count()
    sittings = min(_SITTINGS, rounds)
    for sitting in range(sittings):
        say(f"engine: {OURS} and {BARE} start, {sitting + 1} of {sittings} times …")
        async with AsyncExitStack() as stack:
            servers: dict[str, Server] = {}
            for command in order(commands, sitting):
                servers[command.name] = await stack.enter_async_context(running(command, folder))
            both = servers[OURS], servers[BARE]
            before = [server.used() for server in both]
            for each in _LOADS:  # what is made once is not measured
                await _pair(sitting, both, each, questions)
            stack.enter_context(_spread(both, before))
            for number in range(sitting, rounds, sittings):
                say(f"engine: round {number + 1} of {rounds}")
                await _round(sitting, both, found, questions)
    return _figures(found)


@contextmanager
def _spread(servers: Sequence[Server], before: Sequence[Mapping[int, float]]) -> Generator[None]:
    """What computes has a core for itself, and this process is not on it."""
    cores = os.sched_getaffinity(0)
    for server, used in zip(servers, before, strict=True):
        server.spread(used)
    os.sched_setaffinity(0, {0})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


async def _round(
    sitting: int, servers: Sequence[Server], found: _Found, questions: Iterator[int]
) -> None:
    for each, pairs in found.items():
        for _ in range(each.waves):
            turned = order(servers, len(pairs))
            pairs.append(await _pair(sitting, turned, each, questions))


async def _pair(
    sitting: int, servers: Sequence[Server], each: _Load, questions: Iterator[int]
) -> _Pair:
    """Both get the same questions, one after the other, and no question comes twice."""
    asked = list(islice(questions, each.streams))
    seen: dict[str, Wave] = {}
    for server, other in (servers, servers[::-1]):
        with other.paused():
            await asyncio.sleep(_WAKES)
            seen[server.name] = await tokens.wave(server.port, asked, each.tokens)
    return _Pair(sitting, seen[OURS], seen[BARE])


def _figures(found: _Found) -> list[Figure]:
    figures: list[Figure] = []
    for each, pairs in found.items():
        name = f"engine, {each.streams} stream{'s' if each.streams > 1 else ''}"
        if each.tokens > 1:
            figures.append(_ratio(f"{name}: tokens a second", each, pairs))
        else:
            figures.append(_ratio(f"{name}: requests a second", each, pairs))
            figures.append(_first(f"{name}: first token", pairs))
    return figures


def _ratio(what: str, each: _Load, pairs: Sequence[_Pair]) -> Figure:
    much = each.streams * each.tokens
    ours, others = [much / p.own.seconds for p in pairs], [much / p.bare.seconds for p in pairs]
    sittings = [p.sitting for p in pairs]
    return Figure(what, ours, "/s", others, BARE, target=0.99, at_least=True, sittings=sittings)


def _first(what: str, pairs: Sequence[_Pair]) -> Figure:
    ours, others = [1000 * p.own.first for p in pairs], [1000 * p.bare.first for p in pairs]
    sittings = [p.sitting for p in pairs]
    return Figure(what, ours, "ms", others, BARE, "difference", target=0.3, sittings=sittings)


def ours(root: Path, weights: Path, folder: Path, **parts: object) -> Command:
    """parts: of the configuration, beside the usual ones."""
    port = free_port()
    served = {"uri": "file:///mnt", "source": image.MODEL, "servedName": request.MODEL}
    config = {"model": served, "engine": {"args": _ARGS}, "port": port}
    config |= {"drain": {"graceSeconds": 0}, **parts}
    file = folder / "engine.yaml"  # JSON is YAML
    file.write_text(json.dumps(config))
    folder.chmod(0o755)  # the image's user reads it
    words = ("llmservice-server", "serve", f"--config={image.FILES}/{file.name}")
    return _command(OURS, image.inside(root, weights, folder, words), port, "/readyz")


def _bare(root: Path, weights: Path, folder: Path) -> Command:
    port = free_port()
    words = (
        *("vllm", "serve", image.MODEL, f"--served-model-name={request.MODEL}"),
        *(f"--{name}" if value is True else f"--{name}={value}" for name, value in _ARGS.items()),
        *("--host=127.0.0.1", f"--port={port}"),
    )
    return _command(BARE, image.inside(root, weights, folder, words), port, "/health")


def _command(name: str, words: tuple[str, ...], port: int, ready: str) -> Command:
    return Command(name, words, port, ready=ready, patience=_START)
