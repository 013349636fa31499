"""Every documented route, asked with what its schema allows and what it does not, and with bytes
that no client sends: the routes beside OpenAI's over the gateway, and all of the proxy, before good
upstreams and bad ones.
"""

import asyncio
import json
import logging
from collections.abc import Collection
from contextlib import AsyncExitStack
from functools import cache
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from llmservice_server import api
from llmservice_server.config import HttpConfig, ServerConfig
from llmservice_server.engines.proxy.application import Application
from llmservice_server.engines.proxy.server import ProxyEngine
from llmservice_server.engines.proxy.upstreams import Upstreams
from llmservice_server.gateway.context import Context
from pydantic import BaseModel, Field

from tests.fuzz.attacks import ATTACKS, ODDITIES
from tests.fuzz.documented import Asked, asked, with_model
from tests.fuzz.promise import at_rest, faults
from tests.fuzz.wire import Hang, all_sent
from tests.length import lasting
from tests.unit.server.api.openai_engine import running
from tests.unit.server.proxy.proxied import proxied, to
from tests.unit.server.proxy.upstream_double import (
    CHUNK,
    DONE,
    Behaviour,
    answer,
    as_asked,
    hang,
    raw,
    stream,
    upstream,
)
from tests.unit.server.small_engine import SmallEngine, listening, served

_HTTP = HttpConfig(header_seconds=1, body_seconds=1, max_header_bytes=8192, max_body_bytes=100_000)
_OURS = ("/inference", "/stream", "/api/v1/infer", "/api/chat", "/predict", "/predict/batch")
_OPENAIS = ("/v1/chat/completions", "/v1/responses", "/v1/models/m")
_DOCUMENTED = {*("/", "/info", "/api/v1/model"), *_OURS}


@cache
def _document() -> dict[str, Any]:
    """The proxy's, which has the routes beside OpenAI's as every engine has them."""
    named = [{"url": "http://upstream/v1", "models": [{"name": "m"}]}]
    config = ServerConfig.model_validate({"engine": {"type": "proxy", "upstreams": named}})
    upstreams = Upstreams([])
    app = Application(config.engine, upstreams)
    api.attach(app.fastapi, Context(config, ProxyEngine(upstreams)))
    return app.fastapi.openapi()


@cache
def _asked_of_any_model() -> list[Asked]:
    return asked(_document(), covering=lasting(30, 1000), drawn=lasting(3, 60))


def _asked(model: str) -> list[Asked]:
    """Half of them of a model that there is."""
    requests = _asked_of_any_model()
    return [with_model(one, model) if n % 2 else one for n, one in enumerate(requests)]


def _address(url: str) -> tuple[str, int]:
    at = httpx2.URL(url)
    assert at.port
    return at.host, at.port


async def _ask(url: str, requests: list[Asked], may: Collection[int] = ()) -> list[str]:
    """What is wrong with the answers, and then with what is left of them."""
    answers = await all_sent(_address(url), [bytes(request) for request in requests])
    found = [
        f"{fault}\n  of {bytes(request)[:1000]!r}"
        for request, received in zip(requests, answers, strict=True)
        for fault in faults(request.path, received, method=request.method, may=may)
    ]
    await at_rest(url)
    return found


async def test_each_route_beside_openais_over_the_gateway() -> None:
    async with running(http=_HTTP) as server:
        requests = [one for one in _asked("small") if one.path in _DOCUMENTED]
        assert {request.path for request in requests} == _DOCUMENTED
        assert await _ask(server.url, requests) == []


async def test_each_route_of_the_proxy_before_a_good_upstream() -> None:
    async with upstream() as up, proxied(to(up.url), http=_HTTP) as client:
        up.behaviour = as_asked(up)
        requests = _asked("m")
        assert len({request.path for request in requests}) > len(_DOCUMENTED) + 10
        assert await _ask(str(client.base_url), requests) == []
        assert up.seen


_DEEP = b"[" * 3000 + b"]" * 3000
_BAD: dict[str, Behaviour] = {
    "limits": answer(429, b'{"error": {"message": "slow down"}}'),
    "fails": answer(500, b"<html>"),
    "fails in another shape": answer(500, b'[{"error": NaN}]'),
    "is slow": hang(),
    "cuts": answer(200, b'{"choices": [', length=1000),
    "cuts a stream": stream(CHUNK, whole=False),
    "says more than its length": answer(200, b'{"choices": []}' * 9, length=15),
    "says no length": raw(b"HTTP/1.1 200 OK\r\n\r\n{"),
    "says nothing": raw(b""),
    "says what is no HTTP": raw(b"\x00\xff\r\n\r\n"),
    "says a negative length": answer(200, b"{}", length=-1),
    "says no JSON": answer(200, b"<html>"),
    "says NaN": answer(200, b'{"choices": [{"message": {"content": NaN}}], "usage": NaN}'),
    "says null": answer(200, b"null"),
    "says nulls": answer(200, b'{"choices": [{"message": null, "text": null}], "usage": []}'),
    "says half characters": answer(200, b'{"choices": [{"message": {"content": "\\ud83d"}}]}'),
    "has half a name": answer(200, b'{"choices": [{"text": "x"}], "model": "\\ud83d"}'),
    "has half a reason": answer(
        200, b'{"choices": [{"text": "x", "finish_reason": "\\ud83d"}], "model": "x"}'
    ),
    "says bytes": answer(200, b'{"choices": [{"message": {"content": "\xff"}}]}'),
    "says numbers": answer(200, b'{"choices": [{"message": {"content": 1}}], "usage": {"x": 1}}'),
    "counts beyond 64 bits": answer(
        200,
        b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1%s}}'
        % (b"0" * 30),
    ),
    "counts backwards": answer(
        200,
        b'{"choices": [{"text": "x"}], "usage": {"prompt_tokens": -9, "completion_tokens": -9}}',
    ),
    "counts beyond a float": answer(
        200,
        b'{"choices": [{"text": "x"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1%s}}'
        % (b"0" * 400),
    ),
    "gives a reason that is no text": answer(
        200, b'{"choices": [{"text": "x", "finish_reason": {"x": 1}}], "model": []}'
    ),
    "has a type that is no ASCII": answer(200, b"{}", "content-type: application/json; x=\u20ac"),
    "limits in headers that mean nothing": answer(
        429, b"{}", "retry-after: \u20ac", "x-should-retry: \u20ac", "retry-after-ms: \u0661"
    ),
    "fails in a header that is no UTF-8": raw(
        b"HTTP/1.1 500 \xff\r\nx-should-retry: \xff\r\ncontent-length: 0\r\n\r\n"
    ),
    "has a type that is no UTF-8": raw(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/x;\xff\r\ncontent-length: 2\r\n\r\n{}"
    ),
    "switches to another protocol": raw(
        b"HTTP/1.1 101 OK\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
    ),
    "streams nonsense": stream(b"data: {\n\n", b"data: [1]\n\n", b"\xff\xfe\n\n", DONE),
    "streams nulls": stream(b'data: {"choices": null}\n\n', b"data: null\n\n", DONE),
    "streams what is no choice": stream(b'data: {"choices": [1, null, {"delta": 1}]}\n\n', DONE),
    "streams no events": stream(b"x" * 100_000),
    "streams NaN": stream(b'data: {"choices": [], "usage": {"x": NaN}}\n\n', DONE),
    "streams what no float holds": stream(b'data: {"choices": [], "usage": 1e999}\n\n', DONE),
    "nests deeply": answer(200, b'{"choices": %s}' % _DEEP),
    "streams what nests deeply": stream(b'data: {"choices": %s}\n\n' % _DEEP, DONE),
    "counts deeply": answer(200, b'{"choices": [{"text": "x"}], "usage":%s}' % _DEEP),
    "redirects": answer(302, b"", "location: http://127.0.0.1:1/"),
    "lets nobody in": answer(401, b"{}"),
    "has another status": answer(299, b"{}"),
    "has a status that is none": answer(999, b"{}"),
}


async def test_each_generating_route_before_upstreams_that_misbehave(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Their faults are told as theirs: 502, 503 and 504, or their own 429 and 500."""
    async with AsyncExitStack() as stack:
        ups = {name: await stack.enter_async_context(upstream(does)) for name, does in _BAD.items()}
        behind = [to(up.url, name) for name, up in ups.items()]
        client = await stack.enter_async_context(
            proxied(*behind, firstByteSeconds=1, idleSeconds=0.3, http=_HTTP)
        )
        url = str(client.base_url)
        with caplog.at_level(logging.ERROR):
            found = [await _ask(url, _valid(name), may={500, 502, 503, 504}) for name in ups]
        assert [fault for each in found for fault in each] == []
        assert [record.message for record in caplog.records] == []
        assert all(up.seen for up in ups.values())


def _valid(model: str) -> list[Asked]:
    said = {"role": "user", "content": "x"}
    fields = {"model": model, "prompt": "x", "prompts": ["x", "y"], "messages": [said]}
    kind = (("content-type", "application/json"),)
    return [
        Asked("POST", path, kind, json.dumps({**fields, "stream": streamed}).encode())
        for path in (*_OURS, "/v1/chat/completions", "/v1/completions", "/v1/embeddings")
        for streamed in (False, True)
    ]


async def test_bytes_that_no_client_sends_at_each_route_over_the_gateway() -> None:
    async with running(http=_HTTP) as server:
        assert await _attacked(server.url, _OURS, websockets=True) == []


async def test_bytes_that_no_client_sends_at_each_route_of_the_proxy() -> None:
    async with upstream() as up, proxied(to(up.url), http=_HTTP) as client:
        up.behaviour = as_asked(up)
        assert await _attacked(str(client.base_url), _OURS + _OPENAIS) == []


async def _attacked(url: str, routes: tuple[str, ...], *, websockets: bool = False) -> list[str]:
    """Each attack at a third of the routes, whole, in pieces, and by a client that leaves.

    websockets: a handshake is answered by the server's own library, which has no shape for it.
    """
    attacks = [
        (path, attack.at(path))
        for number, attack in enumerate((*ATTACKS, *ODDITIES))
        for path in lasting(routes[number % 3 :: 3], routes)
    ]
    streams = [attack.bytes_ for _, attack in attacks]
    ways = ({}, {"pieces": 7}, {"cut": True})
    came = await asyncio.gather(*(all_sent(_address(url), streams, **way) for way in ways))
    await at_rest(url)
    return [
        f"{attack.name} at {path}: {fault}"
        for each in came
        for (path, attack), received in zip(attacks, each, strict=True)
        for fault in faults(attack.path, received, method=attack.method)
        if not (websockets and attack.name.startswith("a websocket"))
    ]


class _Divided(BaseModel):
    by: Annotated[int, Field(ge=-5, le=5)]


def _faulty() -> FastAPI:
    """Fails at the greatest number, and answers a wrong shape at the least one."""
    app = FastAPI()

    @app.post("/divided")
    async def divided(asked: _Divided) -> float:
        return 1 / (5 - asked.by)

    @app.post("/shaped")
    async def shaped(asked: _Divided) -> JSONResponse:
        return JSONResponse({"detail": "no"}, 400 if asked.by == -5 else 200)

    return app


async def test_control_a_route_that_fails_at_one_number_is_found() -> None:
    app = _faulty()
    requests = asked(app.openapi(), covering=lasting(60, 1000), drawn=6)
    async with listening(app) as port:
        came = await all_sent(("127.0.0.1", port), [bytes(request) for request in requests])
    told = "".join(
        fault
        for request, received in zip(requests, came, strict=True)
        for fault in faults(request.path, received)
    )
    assert "500: b'Internal Server Error'" in told
    assert "400, not OpenAI's shape" in told


async def test_control_a_count_that_stays_is_found() -> None:
    async with served(SmallEngine()) as server:
        await at_rest(server.url)
        server.context.lifecycle.begin()
        with pytest.raises(AssertionError, match="llmservice_requests_in_flight"):
            await at_rest(server.url, seconds=1)
        server.context.lifecycle.end()


async def test_control_what_never_answers_is_found() -> None:
    async def silent(_: Request) -> None:
        await asyncio.sleep(1)

    app = FastAPI()
    app.add_route("/", silent)
    async with listening(app) as port:
        request = bytes(Asked("GET", "/"))
        (came,) = await all_sent(("127.0.0.1", port), [request], seconds=0.1)
        assert isinstance(came, Hang)
        assert faults("/", came)
