"""Prompts and conversations become requests to OpenAI's routes, and their answers texts."""

import asyncio
import json
import time

import pytest
from fastapi import Request, Response

from tests.unit.server.api.beside import ROUTES, asked_of, events, sentence_of
from tests.unit.server.api.openai_engine import OpenAIEngine, Running, running
from tests.unit.server.small_engine import until

_USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
_END = {"finish_reason": "stop", "model": "small", "usage": _USAGE}


async def test_inference_completes_a_prompt_with_the_served_model(server: Running) -> None:
    asked = {"prompt": "France?", "max_tokens": 5, "temperature": 0, "stop": ["x"]}
    answer = await server.client.post("/inference", json=asked)
    assert answer.json() == {"text": " Paris.", **_END}
    assert server.engine.asked == [("/v1/completions", {**asked, "model": "small"})]
    assert server.engine.ids == [answer.headers["x-request-id"]]


@pytest.mark.parametrize("path", sorted(ROUTES))
async def test_an_adapter_can_be_named_and_what_the_engine_lacks_is_404(
    server: Running, path: str
) -> None:
    assert (
        await server.client.post(path, json={**asked_of(path), "model": "french"})
    ).status_code == 200
    assert server.engine.asked[-1][1]["model"] == "french"
    answer = await server.client.post(path, json={**asked_of(path), "model": "none"})
    assert answer.status_code == 404
    assert sentence_of(answer) == "The model `none` does not exist."


@pytest.mark.parametrize("words", ["France?", "in bytes"])
async def test_a_stream_has_the_text_in_events_and_ends_with_the_count(
    server: Running, words: str
) -> None:
    for answer in (
        await server.client.post("/stream", json={"prompt": words}),
        await server.client.get("/stream", params={"prompt": words, "max_tokens": "7"}),
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert events(answer.text) == [{"text": " Paris"}, {"text": "."}, _END, "[DONE]"]
        assert ": keep-alive\n\n" in answer.text
    asked = {"messages": [{"role": "user", "content": words}], "stream": True}
    answer = await server.client.post("/api/chat", json=asked)
    assert events(answer.text) == [{"content": " Paris"}, {"content": "."}, _END, "[DONE]"]
    assert [body["max_tokens"] for body in server.engine.bodies("/v1/completions")] == [256, 7]


async def test_an_event_that_comes_in_drops_costs_no_more_than_in_one_piece(
    server: Running,
) -> None:
    began = time.process_time()
    answer = await server.client.post("/stream", json={"prompt": "in drops"})
    assert events(answer.text)[0] == {"text": "x" * 640_000}
    assert time.process_time() - began < 8  # not all of it again for each drop


async def test_a_stream_that_breaks_says_so_and_never_ends_as_a_complete_one(
    server: Running,
) -> None:
    broken = events((await server.client.post("/stream", json={"prompt": "break"})).text)
    assert broken == [{"error": {"message": "out of memory", "type": "InternalServerError"}}]
    cut = events((await server.client.post("/stream", json={"prompt": "cut"})).text)
    assert cut[-1]["error"]["message"].startswith("The engine ended the stream before")
    assert "[DONE]" not in cut


async def test_pieces_are_sent_on_before_the_next_one_is_made(server: Running) -> None:
    async with server.client.stream("POST", "/stream", json={"prompt": "slow"}) as answer:
        lines = (line async for line in answer.aiter_lines() if line.startswith("data"))
        assert [await anext(lines) for _ in range(3)] == ['data: {"text":"word "}'] * 3
        assert server.engine.running == 1


@pytest.mark.parametrize("path", ["/inference", "/predict", "/predict/batch", "/stream"])
async def test_a_client_that_leaves_ends_the_engines_work(server: Running, path: str) -> None:
    body = json.dumps(asked_of(path, "slow"))
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json"
    writer.write(f"{head}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
    await until(lambda: server.engine.running == 1)
    await asyncio.sleep(0.05)
    assert server.engine.left == 0  # it is the client that ends it
    writer.transport.abort()
    await until(lambda: server.engine.left == 1, seconds=1)
    await until(lambda: server.context.lifecycle.in_flight == 0)


async def test_api_v1_has_its_own_names(server: Running) -> None:
    asked = {"prompt": "France?", "max_tokens": 5, "temperature": 0.5}
    assert (await server.client.post("/api/v1/infer", json=asked)).json() == {
        "text": " Paris.",
        "model_name": "small",
        "model_version": None,
        "usage": _USAGE,
    }
    told = (await server.client.get("/api/v1/model")).json()
    assert told == {
        "model_name": "small",
        "model_version": None,
        "status": "ready",
        "description": "hf://org/small, served by vllm",
    }
    server.engine.fault_ = "it died"
    assert (await server.client.get("/api/v1/model")).json()["status"] == "dead"


async def test_half_a_character_of_the_engine_breaks_no_answer(server: Running) -> None:
    for path in ("/inference", "/predict", "/api/chat"):
        assert (await server.client.post(path, json=asked_of(path, "half"))).status_code == 200


async def test_the_callers_key_reaches_the_engine_and_its_cookie_does_not() -> None:
    seen = list[dict[str, str]]()

    class Watching(OpenAIEngine):
        async def _generate(self, request: Request) -> Response:
            seen.append(dict(request.headers))
            return await super()._generate(request)

    async with running(Watching()) as server:
        headers = {"authorization": "Bearer k", "cookie": "c=1", "traceparent": "00-a-b-01"}
        await server.client.post("/inference", json={"prompt": "x"}, headers=headers)
    assert seen[0]["authorization"] == "Bearer k"
    assert seen[0]["traceparent"] == "00-a-b-01"
    assert "cookie" not in seen[0]
