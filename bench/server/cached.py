"""The cache beside the engine that it spares: each question is asked twice, one right after the
other, as a stream.
"""

from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

from bench.server import engine, image, tokens
from bench.server.figures import Figure
from bench.server.process import running
from bench.server.tokens import Waves
from dev import model
from dev.progress import say

_TOKENS, _WAVES = 32, 4
_STREAMS = (1, 8)
_Pair = tuple[Waves, Waves]
"""Of the cache and of the engine."""


async def measure(rounds: int, folder: Path) -> list[Figure]:
    weights, root = model.prepare(), image.unpacked()
    say("cache: the engine starts …")
    async with running(engine.ours(root, weights, folder, cache={}), folder) as server:
        questions, found = count(), list[dict[int, _Pair]]()
        for number in range(rounds + 1):
            say(f"cache: round {number} of {rounds}")
            found.append({n: await _round(server.port, n, questions) for n in _STREAMS})
    return [_figure(streams, [pairs[streams] for pairs in found[1:]]) for streams in _STREAMS]


async def _round(port: int, streams: int, questions: Iterator[int]) -> _Pair:
    hits, asked = Waves(), Waves()
    for _ in range(_WAVES):
        wave = list(islice(questions, streams))
        for seen in (asked, hits):
            await tokens.wave(port, wave, _TOKENS, seen)
    return hits, asked


def _figure(streams: int, rounds: list[_Pair]) -> Figure:
    hits, asked = zip(*rounds, strict=True)
    ours, engines = ([1000 * side.seconds / _WAVES for side in sides] for sides in (hits, asked))
    name = f"cache, {streams} stream{'s' if streams > 1 else ''} of {_TOKENS} tokens"
    return Figure(name, ours, "ms", engines, "engine", target=0.1)
