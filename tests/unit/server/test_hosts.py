"""Names that the server answers to, and pages whose scripts may call it."""

import pytest
from llmservice_server.config import CorsConfig, HttpConfig
from llmservice_server.gateway.asgi import Receive, Scope, Send, answer_json
from llmservice_server.gateway.hosts import Hosts

from tests.unit.server.layer import Exchange, context

_PAGE = "https://chat.example.com"
_PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type",
}


async def _engine(_scope: Scope, _receive: Receive, send: Send) -> None:
    await answer_json(send, 200, {}, [(b"x-request-id", b"1")])


def _hosts(*trusted: str, origins: tuple[str, ...] = ()) -> Hosts:
    cors = CorsConfig(origins=list(origins))
    return Hosts(_engine, context(http=HttpConfig(trusted_hosts=list(trusted), cors=cors)))


async def _asked(layer: Hosts, host: str, path: str = "/v1/models", kind: str = "http") -> Exchange:
    return await Exchange(method="GET", path=path, headers={"host": host}, kind=kind).through(layer)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("api.example.com", 200),
        ("API.Example.com:8000", 200),
        ("a.b.internal", 200),
        ("[::1]:8000", 200),
        ("[::1]", 200),
        ("internal", 400),
        ("notinternal", 400),
        ("evil.com", 400),
        ("api.example.com.evil.com", 400),
        ("api.example.com:80@evil.com", 400),
        ("", 400),
    ],
)
async def test_only_configured_names_are_answered(host: str, status: int) -> None:
    layer = _hosts("api.example.com", "*.internal", "[::1]")
    exchange = await _asked(layer, host)
    assert exchange.status == status
    if status == 400:
        assert exchange.error["type"] == "untrusted_host"


async def test_without_configured_names_any_is_answered() -> None:
    assert (await _asked(_hosts(), "anything")).status == 200


async def test_metrics_are_scraped_by_address_whatever_the_names() -> None:
    layer = _hosts("api.example.com")
    assert (await _asked(layer, "10.0.0.7:8000", "/metrics")).status == 200


async def test_a_websocket_under_another_name_or_from_another_page_is_closed() -> None:
    closed = [{"type": "websocket.close", "code": 1008}]
    assert (await _asked(_hosts("a.com"), "b.com", kind="websocket")).sent == closed
    for origin, opened in ((_PAGE, False), ("http://a.com", True)):
        headers = {"host": "a.com", "origin": origin}
        exchange = Exchange(headers=headers, kind="websocket", path="/v1/realtime")
        assert ((await exchange.through(_hosts())).sent == closed) is not opened


async def _from_page(layer: Hosts, method: str, **headers: str) -> Exchange:
    given = {"origin": _PAGE, **{name.replace("_", "-"): v for name, v in headers.items()}}
    return await Exchange(method=method, headers=given).through(layer)


async def test_by_default_no_page_may_read_an_answer_or_ask_whether_it_may() -> None:
    layer = _hosts()
    assert "access-control-allow-origin" not in (await _from_page(layer, "POST")).headers
    preflight = await _from_page(layer, "OPTIONS", **_PREFLIGHT)
    assert (preflight.status, preflight.error["type"]) == (403, "origin_not_allowed")


@pytest.mark.parametrize("origins", [(_PAGE,), ("*",), ("https://other", _PAGE)])
async def test_a_configured_page_may(origins: tuple[str, ...]) -> None:
    layer = _hosts(origins=origins)
    preflight = await _from_page(layer, "OPTIONS", **_PREFLIGHT)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == _PAGE
    assert preflight.headers["access-control-allow-headers"] == "authorization, content-type"
    answer = await _from_page(layer, "POST")
    assert answer.headers["access-control-allow-origin"] == _PAGE
    shown = answer.headers["access-control-expose-headers"].split(", ")
    assert {"x-request-id", "retry-after", "x-ratelimit-remaining-requests"} <= set(shown)
    assert "x-ratelimit-reset-tokens" in shown
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers


async def test_an_options_request_that_is_no_preflight_reaches_the_engine() -> None:
    assert (await _from_page(_hosts(), "OPTIONS")).status == 200
