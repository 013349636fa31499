"""The routes beside OpenAI's, over real sockets, with an engine that has OpenAI's."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from llmservice_server import api
from llmservice_server.config import ApiConfig, LimitsConfig
from prometheus_client import REGISTRY
from pydantic import BaseModel, model_validator

from tests.unit.server.api.openai_engine import OpenAIEngine, Running, running
from tests.unit.server.layer import context
from tests.unit.server.small_engine import listening

_USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
_END = {"finish_reason": "stop", "model": "small", "usage": _USAGE}
_ALL = {"/inference", "/stream", "/api/v1/infer", "/api/chat", "/predict", "/predict/batch"}
_GROUPS = {
    "info": ["GET /", "GET /info"],
    "inference": ["POST /inference", "POST /stream", "GET /stream"],
    "api_v1": ["POST /api/v1/infer", "GET /api/v1/model"],
    "chat": ["POST /api/chat"],
    "predict": ["POST /predict", "POST /predict/batch"],
}


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as made:
        yield made


async def _until(true: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


def _asked(path: str, words: str = "France?") -> dict[str, Any]:
    if path == "/api/chat":
        return {"messages": [{"role": "user", "content": words}]}
    return {"prompts": [words]} if path == "/predict/batch" else {"prompt": words}


def _events(text: str) -> list[Any]:
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def _sentence(answer: httpx2.Response) -> str:
    """Of an error in the shape of its route, which is checked."""
    body = answer.json()
    if answer.request.url.path.startswith("/predict"):
        assert body.keys() == {"error", "message", "details", "timestamp", "request_id"}
        assert body["request_id"] == answer.headers["x-request-id"]
        assert datetime.fromisoformat(body["timestamp"]).tzinfo
        return body["message"]
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    return body["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/v1/embeddings", (404, "not_found")),
        ("GET", "/v1/completions", (405, "method_not_allowed")),
    ],
)
async def test_a_route_that_the_engine_lacks_is_refused_in_openais_shape(
    server: Running, method: str, path: str, code: tuple[int, str]
) -> None:
    """vLLM leaves this to FastAPI, whose shape is another: as the engine of these tests does."""
    answer = await server.client.request(method, path, json={"model": "small"})
    assert (answer.status_code, answer.json()["error"]["code"]) == code
    assert _sentence(answer)


async def test_the_root_says_what_this_is_and_each_of_its_routes_is_described(
    server: Running,
) -> None:
    told = (await server.client.get("/")).json()
    assert told["model"] == "small"
    assert told["status"] == "ready"
    described = (await server.client.get("/openapi.json")).json()["paths"]
    probes = {"/livez", "/readyz", "/health", "/status"}
    assert set(told["routes"]) == _ALL | probes | {"/api/v1/model", "/info", "/v1/models"}
    assert described.keys() >= {"/", *told["routes"]}
    for path in _ALL:
        schema = described[path]["post"]
        assert schema["summary"]
        assert "400" in schema["responses"]
    assert (await server.client.get("/docs")).status_code == 200
    assert (await server.client.get("/redoc")).status_code == 200


async def test_info_tells_of_the_model_and_its_engine(server: Running) -> None:
    assert (await server.client.get("/info")).json() == {
        "name": "small",
        "version": None,
        "source": "hf://org/small",
        "context_length": 200,
        "adapters": ["french"],
        "models": ["small", "french"],
        "engine": "vllm",
        "engine_version": "1.2.3",
    }


async def test_inference_completes_a_prompt_with_the_served_model(server: Running) -> None:
    asked = {"prompt": "France?", "max_tokens": 5, "temperature": 0, "stop": ["x"]}
    answer = await server.client.post("/inference", json=asked)
    assert answer.json() == {"text": " Paris.", **_END}
    assert server.engine.asked == [("/v1/completions", {**asked, "model": "small"})]
    assert server.engine.ids == [answer.headers["x-request-id"]]


@pytest.mark.parametrize("path", sorted(_ALL))
async def test_an_adapter_can_be_named_and_what_the_engine_lacks_is_404(
    server: Running, path: str
) -> None:
    assert (
        await server.client.post(path, json={**_asked(path), "model": "french"})
    ).status_code == 200
    assert server.engine.asked[-1][1]["model"] == "french"
    answer = await server.client.post(path, json={**_asked(path), "model": "none"})
    assert answer.status_code == 404
    assert _sentence(answer) == "The model `none` does not exist."


@pytest.mark.parametrize("words", ["France?", "in bytes"])
async def test_a_stream_has_the_text_in_events_and_ends_with_the_count(
    server: Running, words: str
) -> None:
    for answer in (
        await server.client.post("/stream", json={"prompt": words}),
        await server.client.get("/stream", params={"prompt": words, "max_tokens": "7"}),
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert _events(answer.text) == [{"text": " Paris"}, {"text": "."}, _END, "[DONE]"]
        assert ": keep-alive\n\n" in answer.text
    asked = {"messages": [{"role": "user", "content": words}], "stream": True}
    answer = await server.client.post("/api/chat", json=asked)
    assert _events(answer.text) == [{"content": " Paris"}, {"content": "."}, _END, "[DONE]"]
    assert [body["max_tokens"] for body in server.engine.bodies("/v1/completions")] == [256, 7]


async def test_a_stream_that_breaks_says_so_and_never_ends_as_a_complete_one(
    server: Running,
) -> None:
    broken = _events((await server.client.post("/stream", json={"prompt": "break"})).text)
    assert broken == [{"error": {"message": "out of memory", "type": "InternalServerError"}}]
    cut = _events((await server.client.post("/stream", json={"prompt": "cut"})).text)
    assert cut[-1]["error"]["message"].startswith("The engine ended the stream before")
    assert "[DONE]" not in cut


async def test_pieces_are_sent_on_before_the_next_one_is_made(server: Running) -> None:
    async with server.client.stream("POST", "/stream", json={"prompt": "slow"}) as answer:
        lines = (line async for line in answer.aiter_lines() if line.startswith("data"))
        assert [await anext(lines) for _ in range(3)] == ['data: {"text":"word "}'] * 3
        assert server.engine.running == 1


@pytest.mark.parametrize("path", ["/inference", "/predict", "/predict/batch", "/stream"])
async def test_a_client_that_leaves_ends_the_engines_work(server: Running, path: str) -> None:
    body = json.dumps(_asked(path, "slow"))
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json"
    writer.write(f"{head}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
    await _until(lambda: server.engine.running == 1)
    await asyncio.sleep(0.05)
    assert server.engine.left == 0  # it is the client that ends it
    writer.transport.abort()
    await _until(lambda: server.engine.left == 1, seconds=1)
    await _until(lambda: server.context.lifecycle.in_flight == 0)


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


async def test_predict_has_its_own_names(server: Running) -> None:
    asked = {"prompt": "France?", "max_length": 5, "top_p": 0.9, "stop_tokens": ["\n"]}
    told = (await server.client.post("/predict", json=asked)).json()
    assert datetime.fromisoformat(told.pop("timestamp")).tzinfo
    assert told.pop("processing_time") >= 0
    assert told == {
        "generated_text": " Paris.",
        "prompt": "France?",
        "tokens_generated": 2,
        "model_name": "small",
        "model_version": None,
    }
    (sent,) = server.engine.bodies("/v1/completions")
    assert (sent["max_tokens"], sent["top_p"], sent["stop"]) == (5, 0.9, ["\n"])


def _written(path: str) -> float:
    return REGISTRY.get_sample_value("llmservice_output_tokens_total", {"route": path}) or 0


async def test_the_tokens_of_predictions_are_counted(server: Running) -> None:
    async def counted_by(path: str, body: dict[str, Any]) -> float:
        before = _written(path)
        await server.client.post(path, json=body)
        return _written(path) - before

    assert await counted_by("/predict", {"prompt": "x"}) == 2
    assert await counted_by("/predict/batch", {"prompts": ["x", "400", "y"]}) == 4
    assert await counted_by("/inference", {"prompt": "x"}) == 2
    assert await counted_by("/stream", {"prompt": "x"}) == 2


async def test_the_examples_of_the_documentation_are_no_tokens(server: Running) -> None:
    answer = await server.client.get("/openapi.json")
    assert '"usage":' in answer.text
    assert _written("/openapi.json") == 0


async def test_in_a_batch_one_failure_does_not_lose_the_others(server: Running) -> None:
    prompts = ["one", "400", "three", "503"]
    answer = await server.client.post("/predict/batch", json={"prompts": prompts})
    told = answer.json()
    assert answer.status_code == 200
    assert [r.get("prompt") or r["error"] for r in told["results"]] == [
        "one",
        "validation_error",
        "three",
        "service_unavailable",
    ]
    assert told["results"][1]["message"] == "it is a 400"
    assert told["results"][1]["request_id"] == answer.headers["x-request-id"]
    assert told["failed"] == 2
    assert len(set(server.engine.ids)) == 4  # the engine knows each by an id of its own


async def test_a_batch_runs_together(server: Running) -> None:
    asked = asyncio.create_task(
        server.client.post("/predict/batch", json={"prompts": ["slow"] * 8})
    )
    await _until(lambda: server.engine.running == 8)
    asked.cancel()
    await _until(lambda: server.engine.running == 0)


async def test_a_batch_takes_no_more_of_the_engine_than_its_prompts_alone_would() -> None:
    async with running(limits=LimitsConfig(running=3)) as server:
        asked = [
            asyncio.create_task(server.client.post("/predict/batch", json={"prompts": prompts}))
            for prompts in (["slow"] * 8, ["slow"])
        ]
        await _until(lambda: server.engine.running == 3)
        await asyncio.sleep(0.1)
        assert (server.engine.running, server.context.turns.running) == (3, 3)
        for task in asked:
            task.cancel()
        await _until(lambda: server.context.turns.running == 0)


async def test_a_batch_that_has_the_only_place_goes_on_one_by_one() -> None:
    async with running(limits=LimitsConfig(running=1)) as server:
        asked = {"prompts": ["one", "two", "three"]}
        told = (await server.client.post("/predict/batch", json=asked)).json()
        assert [result["prompt"] for result in told["results"]] == asked["prompts"]
        assert server.context.turns.running == 0


async def test_where_all_of_a_batch_fails_its_error_is_the_answer(server: Running) -> None:
    answer = await server.client.post("/predict/batch", json={"prompts": ["503", "400"]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert answer.json()["error"] == "service_unavailable"


@pytest.mark.parametrize("path", sorted(_ALL))
@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_what_the_engine_refuses_comes_through_in_its_words(
    server: Running, path: str, status: int
) -> None:
    answer = await server.client.post(path, json=_asked(path, str(status)))
    assert answer.status_code == status
    assert _sentence(answer) == f"it is a {status}"
    assert answer.headers.get("retry-after") == ("7" if status in {429, 503} else None)


@pytest.mark.parametrize("path", sorted(_ALL))
async def test_an_engine_that_raises_or_talks_nonsense_is_an_error_of_the_routes_shape(
    server: Running, path: str
) -> None:
    for words in ("raise", "nonsense"):
        answer = await server.client.post(path, json=_asked(path, words))
        assert answer.status_code in {500, 502, 503}
        assert "own code" not in _sentence(answer)


@pytest.mark.parametrize(
    ("words", "kind", "status"),
    [
        ("400", "validation_error", 400),
        ("422", "validation_error", 400),
        ("unauthorized", "unauthorized", 401),
        ("413", "payload_too_large", 413),
        ("503", "service_unavailable", 503),
        ("500", "internal_server_error", 500),
        ("raise", "internal_server_error", 500),
    ],
)
async def test_predicts_errors_have_names(
    server: Running, words: str, kind: str, status: int
) -> None:
    answer = await server.client.post("/predict", json={"prompt": words})
    assert (answer.json()["error"], answer.status_code) == (kind, status)


async def test_what_the_gateway_refuses_has_the_shape_of_the_route(server: Running) -> None:
    server.context.lifecycle.refuse()
    for path in sorted(_ALL):
        answer = await server.client.post(path, json=_asked(path))
        assert answer.status_code == 503
        assert "shutting down" in _sentence(answer)
        assert answer.headers["retry-after"] == "1"


_NOT_JSON = "The body is not JSON that can be served"
_WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max": -1}, "max: input should be greater than or equal to 1"),
    ({"max": 10**9}, "max: input should be less than or equal to 1048576"),
    ({"max": 10**30}, _NOT_JSON),
    ({"max": 1.5}, "max: input should be a valid integer"),
    ({"temperature": -0.1}, "temperature: input should be greater than or equal to 0"),
    ({"temperature": float("nan")}, _NOT_JSON),
    ({"temperature": float("inf")}, _NOT_JSON),
    ({"temperature": "warm"}, "temperature: input should be a valid number"),
    ({"model": "m" * 300}, "model: string should have at most 256 characters"),
    ({"model": "\ud800"}, _NOT_JSON),
]


@pytest.mark.parametrize("path", sorted(_ALL))
async def test_a_wrong_field_is_400_with_a_sentence(server: Running, path: str) -> None:
    limit = "max_length" if path.startswith("/predict") else "max_tokens"
    for wrong, sentence in _WRONG:
        named = {limit if name == "max" else name: value for name, value in wrong.items()}
        answer = await server.client.post(
            path,
            content=json.dumps({**_asked(path), **named}),
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 400, answer.text
        assert _sentence(answer).startswith(sentence.replace("max:", f"{limit}:"))
    assert server.engine.asked == []


_UNREADABLE: list[tuple[bytes, str]] = [
    (b"", "the body is no JSON object"),
    (b"{", _NOT_JSON),
    (b"[]", "the body is no JSON object"),
    (b"null", "the body is no JSON object"),
    (b'{"prompt": "\xff"}', _NOT_JSON),
    (b'{"a":' * 100_000, _NOT_JSON),
    (b'{"prompt": ' + b"1" * 10_000 + b"}", _NOT_JSON),
    (b"{}", ": is missing; send it"),
]


@pytest.mark.parametrize("path", sorted(_ALL))
async def test_a_body_that_cannot_be_read_is_400_with_a_sentence(
    server: Running, path: str
) -> None:
    for content, sentence in _UNREADABLE:
        answer = await server.client.post(
            path, content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400, answer.text
        assert sentence in _sentence(answer)
    plain = {"content-type": "text/plain"}
    answer = await server.client.post(path, content=b'{"prompt": "x"}', headers=plain)
    assert answer.status_code == (400 if path.startswith("/predict") else 415)
    assert "send application/json" in _sentence(answer)


async def test_a_query_has_the_same_bounds(server: Running) -> None:
    wrongs = ({"max_tokens": "-1"}, {"max_tokens": "9" * 5000}, {"temperature": "nan"})
    for wrong in ({}, {"prompt": ""}, *({"prompt": "x", **wrong} for wrong in wrongs)):
        answer = await server.client.get("/stream", params=wrong)
        assert answer.status_code == 400
        assert _sentence(answer)
    assert server.engine.asked == []


async def test_predict_by_another_method_is_refused_in_its_shape(server: Running) -> None:
    answer = await server.client.get("/predict")
    assert (answer.status_code, answer.json()["error"]) == (405, "method_not_allowed")


async def test_half_a_character_of_the_engine_breaks_no_answer(server: Running) -> None:
    for path in ("/inference", "/predict", "/api/chat"):
        assert (await server.client.post(path, json=_asked(path, "half"))).status_code == 200


@pytest.mark.parametrize("group", sorted(_GROUPS))
async def test_a_group_that_is_off_is_an_unknown_route(group: str) -> None:
    async with running(on=ApiConfig.model_validate({group: False})) as server:
        unknown = await server.client.post("/no/such/route", json={})
        for route in _GROUPS[group]:
            method, path = route.split()
            answer = await server.client.request(method, path, json={"prompt": "x"})
            assert (answer.status_code, answer.text) == (404, unknown.text)
        others = [route for name in _GROUPS if name != group for route in _GROUPS[name]]
        for route in others:
            method, path = route.split()
            answer = await server.client.request(
                method, path, params={"prompt": "x"}, json=_asked(path)
            )
            assert answer.status_code == 200
        assert (await server.client.get("/health")).status_code == 200


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


class _Presuming(BaseModel):
    options: dict[str, int]

    @model_validator(mode="before")
    @classmethod
    def _count(cls, fields: dict[str, Any]) -> dict[str, Any]:
        fields["options"].get("x")
        return fields


async def test_what_an_engines_models_raise_is_400_and_what_its_routes_do_is_not() -> None:
    app = FastAPI()

    @app.post("/presuming")
    async def presuming(asked: _Presuming) -> int:
        return asked.options["y"]

    api.attach(app, context())
    async with listening(app) as port, httpx2.AsyncClient() as client:
        url = f"http://127.0.0.1:{port}/presuming"
        for wrong in ({"options": "x"}, {"options": []}, {}):
            answer = await client.post(url, json=wrong)
            assert answer.status_code == 400
            assert "type" in _sentence(answer)
        assert (await client.post(url, json={"options": {"y": 1}})).status_code == 200
        assert (await client.post(url, json={"options": {"x": 1}})).status_code == 500
