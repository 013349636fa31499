"""Every route of the running proxy against the table of who may ask it, with and without a key."""

import asyncio
import logging
import re
from collections.abc import Iterable, Iterator

import openai
import pytest
from fastapi import FastAPI
from llmservice_server.config import AuthConfig, HttpConfig
from llmservice_server.gateway.identity.access import Access, access
from starlette.routing import Mount, Route

from tests.fuzz.attacks import ATTACKS, ODDITIES
from tests.fuzz.promise import faults
from tests.fuzz.wire import sent
from tests.unit.server.proxy.proxied import CHAT, chat, proxied, to
from tests.unit.server.proxy.upstream_double import completion, upstream
from tests.unit.server.small_engine import SmallEngine, served, until

_KEY = "a-static-key-of-the-tests"
_AUTH = {"keys": {"variable": "API_KEY"}}
_BEARER = {"authorization": f"Bearer {_KEY}"}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", _KEY)


def _asked(routes: Iterable[object]) -> Iterator[tuple[str, str]]:
    """Each method and path that there is a route for."""
    for route in routes:
        if isinstance(route, Mount):
            yield "GET", route.path
        elif isinstance(route, Route):
            for method in route.methods or ():
                yield method, re.sub(r"\{[^}]*\}", "x", route.path)
        else:  # as FastAPI keeps a router that it includes
            yield from _asked(route.original_router.routes)  # type: ignore[attr-defined]


async def test_every_route_is_in_the_table_and_answers_as_it_says() -> None:
    found: list[tuple[str, str]] = []
    async with (
        upstream(completion()) as up,
        proxied(
            to(up.url), auth=_AUTH, routes=lambda app: found.extend(_asked(app.routes))
        ) as client,
    ):
        assert {("POST", CHAT), ("GET", "/v1/models/x"), ("POST", "/predict")} <= set(found)
        assert [one for one in found if access(*one).name is None] == []
        for method, path in found:
            public = access(method, path).access is Access.PUBLIC
            answer = await client.request(method, path)
            assert (answer.status_code == 401) is not public, (method, path, answer.status_code)
            if not public:
                assert answer.headers["www-authenticate"] == "Bearer"
            assert (await client.request(method, path, headers=_BEARER)).status_code != 401


async def test_a_route_that_nobody_knows_is_closed() -> None:
    reached: list[str] = []

    def brand_new(app: FastAPI) -> None:
        async def answer() -> str:
            reached.append("")
            return "secrets"

        app.add_api_route("/v1/brand/new", answer)

    async with upstream() as up:
        async with proxied(to(up.url), auth=_AUTH, routes=brand_new) as client:
            assert (await client.get("/v1/brand/new")).status_code == 401
            assert (await client.get("/v1/brand/new", headers=_BEARER)).status_code == 403
            assert not reached
        async with proxied(to(up.url), routes=brand_new) as client:
            assert (await client.get("/v1/brand/new")).json() == "secrets"


async def test_openais_client_sees_what_openai_would_tell_it() -> None:
    async with upstream(completion("Paris")) as up, proxied(to(up.url), auth=_AUTH) as client:
        url = f"{client.base_url}".rstrip("/") + "/v1"
        said = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
        async with openai.AsyncOpenAI(base_url=url, api_key=_KEY, max_retries=0) as good:
            answer = await good.chat.completions.create(**said)  # type: ignore[call-overload]
            assert answer.choices[0].message.content == "Paris"
        async with openai.AsyncOpenAI(base_url=url, api_key="wrong-key", max_retries=0) as bad:
            with pytest.raises(openai.AuthenticationError) as refused:
                await bad.chat.completions.create(**said)  # type: ignore[call-overload]
        assert refused.value.code == "invalid_api_key"
        assert "wrong-key" not in str(refused.value)
        assert not [seen for seen in up.seen if "authorization" in seen.headers]


async def test_a_prediction_is_refused_in_the_shape_of_predictions() -> None:
    async with upstream() as up, proxied(to(up.url), auth=_AUTH) as client:
        answer = await client.post("/predict", json={"prompt": "x"})
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_refusal_comes_before_the_body_is_read() -> None:
    async with upstream() as up, proxied(to(up.url), auth=_AUTH) as client:
        answer = await client.post(CHAT, content=b"[" * 30_000_000)
        assert answer.status_code == 401
        assert not up.seen


async def test_the_access_log_names_who_asked_and_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with upstream(completion()) as up, proxied(to(up.url), auth=_AUTH) as client:
        await client.post(CHAT, json=chat(), headers=_BEARER)
        await client.post(CHAT, json=chat(), headers={"x-api-key": "wrong-secret-key"})
        await client.get(f"/v1/models/{_KEY[:4]}", headers=_BEARER)
    lines = [r.__dict__["fields"] for r in caplog.records if r.name == "llmservice.access"]
    first, second = (line for line in lines if line["route"] == CHAT)
    assert (first["user"], first["key"]) == ("static:default", "static:default")
    assert second["error"] == "unauthorized"
    assert not {"user", "key"} & second.keys()
    everything = caplog.text + str([record.__dict__ for record in caplog.records])
    assert _KEY not in everything
    assert "wrong-secret" not in everything


async def test_hostile_bytes_without_a_key_are_answered_in_shape_and_reach_no_engine() -> None:
    http = HttpConfig(header_seconds=1, body_seconds=1, max_body_bytes=100_000)
    attacks = (*ATTACKS, *ODDITIES)
    async with served(SmallEngine(), http=http, auth=AuthConfig.model_validate(_AUTH)) as server:
        address = ("127.0.0.1", server.port)
        answers = await asyncio.gather(*(sent(address, one.bytes_) for one in attacks))
        await until(lambda: server.context.lifecycle.in_flight == 0)
        assert not server.engine.seen_ids
    broken = [
        f"{attack.name}: {fault}"
        for attack, answer in zip(attacks, answers, strict=True)
        for fault in faults(attack.path, answer, method=attack.method)
        if not attack.name.startswith("a websocket")  # whose handshake uvicorn refuses in its way
    ]
    assert broken == []
    assert sum(b"HTTP/1.1 401 " in answer for answer in answers) > 30


async def test_probes_and_metrics_need_no_key() -> None:
    async with upstream() as up, proxied(to(up.url), auth=_AUTH) as client:
        for path in ("/livez", "/readyz", "/health", "/status", "/metrics"):
            assert (await client.get(path)).status_code == 200
        metrics = (await client.get("/metrics")).text
        assert _KEY not in metrics
