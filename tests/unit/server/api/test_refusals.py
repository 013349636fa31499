"""A wrong request is 400 with a sentence; what the engine refuses keeps its words."""

import json
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from llmservice_server import api
from pydantic import BaseModel, model_validator

from tests.unit.server.api.beside import ROUTES, asked_of, sentence_of
from tests.unit.server.api.openai_engine import Running
from tests.unit.server.layer import context
from tests.unit.server.small_engine import listening


@pytest.mark.parametrize("path", sorted(ROUTES))
@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_what_the_engine_refuses_comes_through_in_its_words(
    server: Running, path: str, status: int
) -> None:
    answer = await server.client.post(path, json=asked_of(path, str(status)))
    assert answer.status_code == status
    assert sentence_of(answer) == f"it is a {status}"
    assert answer.headers.get("retry-after") == ("7" if status in {429, 503} else None)


@pytest.mark.parametrize("path", sorted(ROUTES))
async def test_an_engine_that_raises_or_talks_nonsense_is_an_error_of_the_routes_shape(
    server: Running, path: str
) -> None:
    for words in ("raise", "nonsense"):
        answer = await server.client.post(path, json=asked_of(path, words))
        assert answer.status_code in {500, 502, 503}
        assert "own code" not in sentence_of(answer)


async def test_what_the_gateway_refuses_has_the_shape_of_the_route(server: Running) -> None:
    server.context.lifecycle.refuse()
    for path in sorted(ROUTES):
        answer = await server.client.post(path, json=asked_of(path))
        assert answer.status_code == 503
        assert "shutting down" in sentence_of(answer)
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


@pytest.mark.parametrize("path", sorted(ROUTES))
async def test_a_wrong_field_is_400_with_a_sentence(server: Running, path: str) -> None:
    limit = "max_length" if path.startswith("/predict") else "max_tokens"
    for wrong, sentence in _WRONG:
        named = {limit if name == "max" else name: value for name, value in wrong.items()}
        answer = await server.client.post(
            path,
            content=json.dumps({**asked_of(path), **named}),
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 400, answer.text
        assert sentence_of(answer).startswith(sentence.replace("max:", f"{limit}:"))
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


@pytest.mark.parametrize("path", sorted(ROUTES))
async def test_a_body_that_cannot_be_read_is_400_with_a_sentence(
    server: Running, path: str
) -> None:
    for content, sentence in _UNREADABLE:
        answer = await server.client.post(
            path, content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400, answer.text
        assert sentence in sentence_of(answer)
    plain = {"content-type": "text/plain"}
    answer = await server.client.post(path, content=b'{"prompt": "x"}', headers=plain)
    assert answer.status_code == (400 if path.startswith("/predict") else 415)
    assert "send application/json" in sentence_of(answer)


async def test_a_query_has_the_same_bounds(server: Running) -> None:
    wrongs = ({"max_tokens": "-1"}, {"max_tokens": "9" * 5000}, {"temperature": "nan"})
    for wrong in ({}, {"prompt": ""}, *({"prompt": "x", **wrong} for wrong in wrongs)):
        answer = await server.client.get("/stream", params=wrong)
        assert answer.status_code == 400
        assert sentence_of(answer)
    assert server.engine.asked == []


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
            assert "type" in sentence_of(answer)
        assert (await client.post(url, json={"options": {"y": 1}})).status_code == 200
        assert (await client.post(url, json={"options": {"x": 1}})).status_code == 500
