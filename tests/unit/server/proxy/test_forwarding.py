"""What passes of a request and of its answer, and what does not."""

import pytest

from tests.unit.server.proxy.proxied import CHAT, KEYED, chat, error_of, proxied, to
from tests.unit.server.proxy.upstream_double import (
    KEY,
    answer,
    upstream,
)


async def test_the_body_is_forwarded_byte_for_byte() -> None:
    odd = b'{ "model" :"m",  "x": 1.50, "y":"\\u00e4",\n"messages":[{"model":"z"}] }'
    async with upstream() as a, proxied(to(a.url)) as client:
        await client.post(CHAT, content=odd)
        assert a.seen[0].body == odd


async def test_of_an_aliased_body_only_the_models_name_changes() -> None:
    odd = b'{"user":{"model":"nick"},"a":1.50, "model" : "nick" ,"m":"\\"model\\":\\"nick\\""}'
    async with upstream() as a, proxied(to(a.url, 'nick=real"name')) as client:
        assert (await client.post(CHAT, content=odd)).status_code == 200
        assert a.seen[0].body == odd.replace(b'"model" : "nick"', b'"model" : "real\\"name"')


async def test_of_the_clients_headers_only_the_harmless_pass() -> None:
    given = {
        "authorization": "Bearer the-clients",
        "cookie": "session=1",
        "x-api-key": "the-clients",
        "x-forwarded-for": "10.1.2.3",
        "openai-organization": "org-clients",
        "connection": "keep-alive, x-hop",
        "x-hop": "1",
        "te": "trailers",
        "proxy-authorization": "Basic x",
        "x-request-id": "order-7",
        "traceparent": "00-1-2-01",
    }
    async with upstream() as a, proxied(to(a.url, **KEYED)) as client:
        await client.post(CHAT, json=chat(), headers=given)
        seen = a.seen[0].headers
        assert seen["authorization"] == f"Bearer {KEY}"
        assert (seen["x-request-id"], seen["traceparent"]) == ("order-7", "00-1-2-01")
        forwarded = set(seen) - {"host", "content-length", "content-type", "accept", "user-agent"}
        assert forwarded == {"authorization", "x-request-id", "traceparent", "accept-encoding"}


async def test_of_the_upstreams_headers_only_the_harmless_pass() -> None:
    secrets = ("content-type: application/json", "set-cookie: a=b", "openai-organization: org-1")
    async with upstream(answer(200, b"{}", *secrets)) as a, proxied(to(a.url)) as client:
        answered = await client.post(CHAT, json=chat())
        assert answered.status_code == 200
        assert set(answered.headers) == {
            "content-type",
            "content-length",
            "x-request-id",
            "date",
            "server",
        }


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"nope", b'{"model":1}', b"{}", b'{"model":"m","x":NaN}', b"\xff"]
)
async def test_a_body_without_a_model_is_400_and_goes_nowhere(body: bytes) -> None:
    async with upstream() as a, proxied(to(a.url)) as client:
        answered = await client.post(CHAT, content=body)
        assert (answered.status_code, error_of(answered)["type"]) == (400, "invalid_request_error")
        assert not a.seen


async def test_other_routes_are_refused_in_openais_shape() -> None:
    async with upstream() as a, proxied(to(a.url)) as client:
        assert error_of(await client.post("/v1/files", json=chat()))["code"] == "not_found"
        assert error_of(await client.get(CHAT))["code"] == "method_not_allowed"
        assert CHAT in (await client.get("/openapi.json")).json()["paths"]
        assert not a.seen
