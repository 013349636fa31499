"""The engine vllm beside bare vLLM: the same image, the same model, the same flags.

Both run all the time, one of them idle while the other is asked: in each round they take turns wave
by wave, so that a machine that is slower for a second is so for both. The engine has one thread,
which leaves the other core to its API server and the client, as a GPU leaves it the processor.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from statistics import median

from bench.server import image, request, tokens
from bench.server.figures import Figure
from bench.server.process import Command, Server, running
from bench.server.rounds import order
from bench.server.tokens import Waves
from dev import model
from dev.process import free_port
from dev.progress import say

OURS, BARE = "engine vllm", "bare vLLM"
_ARGS = {"dtype": "float32", "max-model-len": 1024, "enforce-eager": True}
_START = 300.0  # seconds until vLLM serves


@dataclass(frozen=True)
class _Load:
    """So many streams at once, of so many tokens, and so many such waves in a round."""

    streams: int
    tokens: int
    waves: int


_LOADS = (
    *(_Load(1, 1, 20), _Load(1, 32, 2)),
    *(_Load(8, 1, 6), _Load(8, 32, 2)),
    *(_Load(32, 1, 4), _Load(32, 32, 1)),
)
_Pair = tuple[Waves, Waves]
"""Of ours and of the bare one."""


async def measure(rounds: int, folder: Path) -> list[Figure]:
    weights, root = model.prepare(), image.unpacked()
    commands = (ours(root, weights, folder), _bare(root, weights, folder))
    async with AsyncExitStack() as stack:
        say(f"engine: {OURS} and {BARE} start …")
        servers = [await stack.enter_async_context(running(c, folder)) for c in commands]
        questions = count()
        found: list[dict[_Load, _Pair]] = []
        for number in range(rounds + 1):
            say(f"engine: round {number} of {rounds}")
            found.append({each: await _round(number, servers, each, questions) for each in _LOADS})
    return _figures(found[1:])  # the first is for what is made once


async def _round(
    number: int, servers: list[Server], each: _Load, questions: Iterator[int]
) -> _Pair:
    """Both get the same questions, and no question comes twice."""
    pair = Waves(), Waves()
    sides = list(zip(servers, pair, strict=True))
    for wave in range(each.waves):
        asked = list(islice(questions, each.streams))
        for server, seen in order(sides, number * each.waves + wave):
            await tokens.wave(server.port, asked, each.tokens, seen)
    return pair


def _figures(rounds: list[dict[_Load, _Pair]]) -> list[Figure]:
    figures: list[Figure] = []
    for each in _LOADS:
        own, bare = zip(*(found[each] for found in rounds), strict=True)
        name = f"engine, {each.streams} stream{'s' if each.streams > 1 else ''}"
        if each.tokens > 1:
            figures.append(_ratio(f"{name}: tokens a second", own, bare, each.tokens))
        else:
            figures.append(_ratio(f"{name}: requests a second", own, bare, 1))
            figures.append(_first(f"{name}: first token", own, bare))
    return figures


def _ratio(what: str, own: Sequence[Waves], bare: Sequence[Waves], tokens: int) -> Figure:
    ours, others = ([tokens * x.streams / x.seconds for x in side] for side in (own, bare))
    return Figure(what, ours, "/s", others, BARE, target=0.99, at_least=True)


def _first(what: str, own: Sequence[Waves], bare: Sequence[Waves]) -> Figure:
    ours, others = ([1000 * median(x.first) for x in side] for side in (own, bare))
    return Figure(what, ours, "ms", others, BARE, "difference", target=0.3)


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
