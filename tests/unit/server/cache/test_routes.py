"""The cache in a whole server, by each of its routes and on real sockets."""

import asyncio
from typing import Any

import pytest
from llmservice_server.config import CacheConfig, IdempotencyConfig

from tests.unit.server.api.beside import asked_of
from tests.unit.server.api.openai_engine import running

_CHAT, _COMPLETE = "/v1/chat/completions", "/v1/completions"
_STREAM = {"stream": True, "stream_options": {"include_usage": True}}
_CHATTED = asked_of("/api/chat")
_ASKED: list[tuple[str, dict[str, Any]]] = [
    (_COMPLETE, {"model": "small", "prompt": "France?"}),
    (_COMPLETE, {"model": "small", "prompt": "France?", **_STREAM}),
    (_CHAT, {"model": "small", **_CHATTED}),
    (_CHAT, {"model": "small", **_CHATTED, **_STREAM}),
    *((path, asked_of(path)) for path in ("/inference", "/stream", "/api/v1/infer", "/predict")),
    ("/api/chat", _CHATTED),
    ("/api/chat", {**_CHATTED, "stream": True}),
]


@pytest.mark.parametrize(("path", "body"), _ASKED)
async def test_each_route_gives_again_what_it_gave(path: str, body: dict[str, Any]) -> None:
    async with running(cache=CacheConfig()) as server:
        asked = {**body, "temperature": 0}
        first, again = [await server.client.post(path, json=asked) for _ in range(2)]
        assert first.status_code == again.status_code == 200
        assert "hit" in again.headers["cache-status"]
        assert again.content == first.content
        for name in ("content-type", "cache-control", "x-accel-buffering"):
            assert again.headers.get(name) == first.headers.get(name)
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
        assert len(server.engine.bodies(_COMPLETE) + server.engine.bodies(_CHAT)) == 1
        assert "hit" not in (await server.client.post(path, json=body)).headers["cache-status"]


@pytest.mark.parametrize("words", ["break", "cut", "500", "404"])
@pytest.mark.parametrize("path", [_COMPLETE, "/stream"])
async def test_no_route_gives_again_what_failed(path: str, words: str) -> None:
    async with running(cache=CacheConfig()) as server:
        body = {"model": "small", "prompt": words, "temperature": 0, **_STREAM}
        for number in range(1, 3):
            answer = await server.client.post(path, json=body)
            assert "hit" not in answer.headers["cache-status"]
            assert len(server.engine.bodies(_COMPLETE)) == number


async def test_where_a_client_leaves_nothing_of_its_answer_is_given_again() -> None:
    async with running(cache=CacheConfig(), idempotency=IdempotencyConfig()) as server:
        body = {"model": "small", "prompt": "slow", "temperature": 0}
        for headers in ({}, {"idempotency-key": "k"}):
            before = len(server.engine.bodies(_COMPLETE))
            for number in range(1, 3):
                leaving = asyncio.create_task(
                    server.client.post(_COMPLETE, json=body, headers=headers)
                )
                async with asyncio.timeout(10):
                    while len(server.engine.bodies(_COMPLETE)) < before + number:
                        await asyncio.sleep(0.005)
                    leaving.cancel()
                    while server.context.lifecycle.in_flight:
                        await asyncio.sleep(0.005)
