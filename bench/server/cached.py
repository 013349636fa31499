"""The cache beside the engine that it spares: each question is asked twice, one right after the
other, as a stream.
"""

from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

from bench.server import engine, image, tokens
from bench.server.figures import Figure
from bench.server.process import running
from bench.server.tokens import Wave
from dev import model
from dev.progress import say

_TOKENS, _WAVES = 32, 2  # of an answer, and in a round
_STREAMS = (1, 8)
_Pair = tuple[Wave, Wave]
"""Of the cache and of the engine."""


async def measure(rounds: int, folder: Path) -> list[Figure]:
    weights, root = model.prepare(), image.unpacked()
    say("cache: the engine starts …")
    async with running(engine.ours(root, weights, folder, cache={}), folder) as server:
        questions = count()
        found: dict[int, list[_Pair]] = {streams: [] for streams in _STREAMS}
        for number in range(rounds + 1):
            say(f"cache: round {number} of {rounds}")
            for streams, pairs in found.items():
                more = [await _pair(server.port, streams, questions) for _ in range(_WAVES)]
                if number:  # the first is for what is made once
                    pairs.extend(more)
    return [_figure(streams, pairs) for streams, pairs in found.items()]


async def _pair(port: int, streams: int, questions: Iterator[int]) -> _Pair:
    wave = list(islice(questions, streams))
    asked = await tokens.wave(port, wave, _TOKENS)
    return await tokens.wave(port, wave, _TOKENS), asked


def _figure(streams: int, pairs: list[_Pair]) -> Figure:
    hits, asked = ([1000 * wave.seconds for wave in side] for side in zip(*pairs, strict=True))
    name = f"cache, {streams} stream{'s' if streams > 1 else ''} of {_TOKENS} tokens"
    return Figure(name, hits, "ms", asked, "engine", target=0.1)
