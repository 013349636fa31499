"""What the proxy promises to its clients and to its upstreams, over real sockets."""

import asyncio
import gzip
import json
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx2
import pytest
from llmservice_server.config import TimeoutsConfig, TracingConfig, UpstreamConfig
from llmservice_server.engines.proxy import upstreams
from llmservice_server.engines.proxy.forward import Forward
from llmservice_server.engines.proxy.upstream import Upstream
from llmservice_server.engines.proxy.upstreams import Upstreams
from llmservice_server.gateway.asgi import Message

from tests.collector import collecting
from tests.unit.server.layer import Exchange
from tests.unit.server.proxy.proxied import CHAT, chat, proxied, to
from tests.unit.server.proxy.upstream_double import (
    CHUNK,
    DONE,
    KEY,
    STREAM,
    Behaviour,
    answer,
    chunked,
    completion,
    endless,
    hang,
    listing,
    raw,
    stream,
    upstream,
)

_KEYED = {"apiKey": {"variable": "THE_KEY"}}
_ERROR = b'{"error":{"message":"%s","type":"server_error","param":null,"code":"some_code"}}'


def _error(answered: httpx2.Response) -> dict[str, Any]:
    body = answered.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


async def _until(true: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


def _refused_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


# Routing


async def test_a_model_is_asked_for_where_it_is_served() -> None:
    async with (
        upstream(completion("from a")) as a,
        upstream(completion("from b")) as b,
        proxied(to(a.url, "one"), to(b.url, "two")) as client,
    ):
        for model, text in (("one", "from a"), ("two", "from b")):
            answered = await client.post(CHAT, json=chat(model))
            assert answered.json()["choices"][0]["message"]["content"] == text
        assert [s.path for s in a.seen] == [CHAT]


async def test_the_models_are_the_union_in_openais_shape() -> None:
    async with (
        upstream() as a,
        proxied(to(a.url, "one", "both"), to(a.url, "both", "two")) as client,
    ):
        listed = (await client.get("/v1/models")).json()
        assert listed["object"] == "list"
        assert [model["id"] for model in listed["data"]] == ["one", "both", "two"]
        assert {"id", "object", "created", "owned_by"} == set(listed["data"][0])
        assert (await client.get("/v1/models/two")).json()["id"] == "two"
        assert _error(await client.get("/v1/models/three"))["code"] == "model_not_found"


async def test_an_unknown_model_is_404_with_the_models_there_are() -> None:
    async with upstream() as a, proxied(to(a.url, "one", "two")) as client:
        answered = await client.post(CHAT, json=chat("three"))
        error = _error(answered)
        assert (answered.status_code, error["code"]) == (404, "model_not_found")
        assert "`three`" in error["message"]
        assert "`one`, `two`" in error["message"]
        assert not a.seen


async def test_without_names_an_upstreams_own_list_counts() -> None:
    async with upstream(models=listing("own", "other")) as a, proxied({"url": a.url}) as client:
        assert [m["id"] for m in (await client.get("/v1/models")).json()["data"]] == [
            "own",
            "other",
        ]
        assert (await client.post(CHAT, json=chat("own"))).status_code == 200


@pytest.mark.parametrize("status", [302, 403, 404, 429])
async def test_what_an_upstream_listed_it_has_until_it_lists_something_else(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for often in ("_LISTED_EVERY", "_UNLISTED_EVERY"):
        monkeypatch.setattr(upstreams, often, 0.05)
    async with upstream(models=listing("own")) as a, proxied({"url": a.url}) as client:
        assert (await client.post(CHAT, json=chat("own"))).status_code == 200
        a.models, looks = answer(status, b"{}"), a.looks
        await _until(lambda: a.looks > looks + 1)
        assert (await client.post(CHAT, json=chat("own"))).status_code == 200


async def test_the_least_busy_for_its_weight_is_asked() -> None:
    async with (
        upstream(endless()) as light,
        upstream(endless()) as heavy,
        proxied(to(light.url, weight=1), to(heavy.url, weight=3)) as client,
    ):
        asked = [asyncio.create_task(client.post(CHAT, json=chat())) for _ in range(8)]
        await _until(lambda: len(light.seen) + len(heavy.seen) == 8)
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        assert (len(light.seen), len(heavy.seen)) == (2, 6)


async def test_idle_upstreams_take_turns() -> None:
    async with upstream() as a, upstream() as b, proxied(to(a.url), to(b.url)) as client:
        for _ in range(6):
            await client.post(CHAT, json=chat())
        assert (len(a.seen), len(b.seen)) == (3, 3)


async def test_a_span_tells_the_model_by_the_name_that_clients_have_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    asked: list[tuple[str, dict[str, Any], str]] = [
        (CHAT, chat("two"), "chat two"),
        (CHAT, chat("nick"), "chat nick"),
        (CHAT, chat("a-clients-words"), "chat"),
        ("/inference", {"prompt": "x"}, "text_completion one"),
        ("/predict", {"prompt": "x", "model": "nick"}, "text_completion nick"),
        ("/stream?prompt=x&model=two", {}, "text_completion two"),
    ]
    with collecting() as collector:
        tracing = TracingConfig(otlp_endpoint=collector.url)
        async with (
            upstream() as a,
            proxied(to(a.url, "one", "two", "nick=real"), tracing=tracing) as client,
        ):
            for number, (path, body, name) in enumerate(asked):
                await client.request("POST" if body else "GET", path, json=body or None)
                await _until(lambda number=number: len(collector.spans) > number)
                assert collector.spans[-1].name == name


# What is forwarded


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
    async with upstream() as a, proxied(to(a.url, **_KEYED)) as client:
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
        assert (answered.status_code, _error(answered)["type"]) == (400, "invalid_request_error")
        assert not a.seen


async def test_other_routes_are_refused_in_openais_shape() -> None:
    async with upstream() as a, proxied(to(a.url)) as client:
        assert _error(await client.post("/v1/files", json=chat()))["code"] == "not_found"
        assert _error(await client.get(CHAT))["code"] == "method_not_allowed"
        assert CHAT in (await client.get("/openapi.json")).json()["paths"]
        assert not a.seen


# Errors of an upstream


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_an_upstreams_error_comes_in_openais_shape_with_its_retry_after(status: int) -> None:
    words = f"org-abcdef123456 at https://u:p@internal/v1 with {KEY}".encode()
    behave = answer(
        status,
        _ERROR % words,
        "content-type: application/json",
        "retry-after: 7",
        "openai-organization: org-abcdef123456",
        "set-cookie: a=b",
    )
    async with upstream(behave) as a, proxied(to(a.url, **_KEYED)) as client:
        answered = await client.post(CHAT, json=chat())
        error = _error(answered)
        assert (answered.status_code, answered.headers["retry-after"]) == (status, "7")
        assert (error["type"], error["code"]) == ("server_error", "some_code")
        told = f"{answered.headers} {answered.text}"
        for secret in (KEY, "org-abcdef", "u:p@", "internal", "set-cookie", "openai-org"):
            assert secret not in told
        assert " with ***" in error["message"]  # the rest of what it says is there


async def test_what_is_wrong_with_the_request_is_told_as_the_upstream_says_it() -> None:
    behave = answer(400, _ERROR % b"maximum context length is 8 tokens")
    async with (
        upstream(behave) as a,
        upstream() as b,
        proxied(to(a.url), to(b.url, weight=1)) as client,
    ):
        answered = [await client.post(CHAT, json=chat()) for _ in range(2)]
        assert {r.status_code for r in answered} == {200, 400}  # asked once: no other does better
        (refused,) = [r for r in answered if r.status_code == 400]
        assert _error(refused)["message"] == "maximum context length is 8 tokens"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_our_fault_and_nothing_is_told_of_it(status: int) -> None:
    behave = answer(status, _ERROR % f"Incorrect API key: {KEY[:9]}***".encode())
    async with upstream(behave) as a, proxied(to(a.url, **_KEYED)) as client:
        answered = await client.post(CHAT, json=chat())
        assert (answered.status_code, _error(answered)["code"]) == (502, "upstream_unauthorized")
        assert KEY[:9] not in answered.text


_BEFORE_A_BYTE: dict[str, tuple[Behaviour, int]] = {
    "429": (answer(429, b"{}"), 429),
    "500": (answer(500, b"oops", "content-type: text/plain"), 500),
    "503": (answer(503, b""), 503),
    "redirect": (
        raw(b"HTTP/1.1 302 Found\r\nlocation: http://x/\r\ncontent-length: 0\r\n\r\n"),
        502,
    ),
    "closed": (raw(b""), 502),
    "no HTTP": (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), 502),
    "shorter than it said": (answer(200, b'{"a":1}', length=100), 502),
    "longer than it said": (answer(200, b'{"a":{"b":1}}', length=8), 502),
    "garbage for JSON": (answer(200, b"<html>", "content-type: application/json"), 502),
    "a page": (answer(200, b"<html></html>", "content-type: text/html"), 502),
    "an empty stream": (stream(), 502),
    "slow": (hang(), 504),
}


@pytest.mark.parametrize("name", _BEFORE_A_BYTE)
async def test_what_fails_before_the_first_byte_is_tried_on_another_upstream(name: str) -> None:
    behave, _ = _BEFORE_A_BYTE[name]
    async with (
        upstream(behave) as bad,
        upstream() as good,
        proxied(to(bad.url), to(good.url), firstByteSeconds=0.3) as client,
    ):
        for _ in range(3):
            assert (await client.post(CHAT, json=chat())).status_code == 200
        assert bad.seen  # so that the promise was put to the test


@pytest.mark.parametrize("name", _BEFORE_A_BYTE)
async def test_and_never_again_on_the_same_one(name: str) -> None:
    behave, status = _BEFORE_A_BYTE[name]
    async with upstream(behave) as bad, proxied(to(bad.url), firstByteSeconds=0.3) as client:
        answered = await client.post(CHAT, json=chat())
        assert (answered.status_code, len(bad.seen)) == (status, 1)
        assert _error(answered)["message"]


async def test_who_refuses_connections_is_passed_over() -> None:
    async with upstream() as good, proxied(to(_refused_port()), to(good.url)) as client:
        for _ in range(8):
            assert (await client.post(CHAT, json=chat())).status_code == 200


async def test_where_nobody_can_be_reached_it_is_503_and_when_to_come_back() -> None:
    async with upstream() as other, proxied(to(_refused_port()), to(other.url, "x")) as client:
        for _ in range(8):  # the breaker opens on the way
            answered = await client.post(CHAT, json=chat())
            assert (answered.status_code, answered.headers["retry-after"]) == (503, "1")
            assert _error(answered)["code"] == "service_unavailable"


async def test_a_limited_upstream_is_the_last_choice_until_it_said_to_come_back() -> None:
    busy = answer(429, b"{}", "retry-after: 30")
    async with (
        upstream(busy) as limited,
        upstream() as good,
        proxied(to(limited.url), to(good.url)) as client,
    ):
        for _ in range(10):
            assert (await client.post(CHAT, json=chat())).status_code == 200
        assert len(limited.seen) == 1


async def test_a_broken_upstream_is_left_alone_then_tried_by_one_request() -> None:
    async with (
        upstream(answer(500, b"")) as sick,
        upstream() as good,
        proxied(to(sick.url), to(good.url)) as client,
    ):
        for _ in range(30):
            assert (await client.post(CHAT, json=chat())).status_code == 200
        assert len(sick.seen) == 5
        sick.behaviour = hang()
        await asyncio.sleep(1.1)
        asked = [asyncio.create_task(client.post(CHAT, json=chat())) for _ in range(6)]
        await _until(lambda: sum(each.done() for each in asked) == 5)
        assert len(sick.seen) == 6  # one tries, the others do not wait for it
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await _until(lambda: sick.left == 1)
        sick.behaviour = completion()
        for _ in range(4):
            assert (await client.post(CHAT, json=chat())).status_code == 200
        assert len(sick.seen) > 7  # it is back


async def test_a_stream_that_has_begun_closes_the_breaker_before_it_ends() -> None:
    async with upstream(answer(500, b"")) as a, proxied(to(a.url)) as client:
        for _ in range(5):
            await client.post(CHAT, json=chat())
        a.behaviour = endless()
        assert (await client.post(CHAT, json=chat())).status_code == 503  # it is open
        await asyncio.sleep(1.1)
        async with client.stream("POST", CHAT, json=chat(stream=True)) as streamed:
            await anext(streamed.aiter_raw())
            a.behaviour = completion()
            assert (await client.post(CHAT, json=chat())).status_code == 200


# Streams


async def test_a_stream_arrives_whole() -> None:
    async with upstream(stream(CHUNK, CHUNK, DONE)) as a, proxied(to(a.url)) as client:
        answered = await client.post(CHAT, json=chat(stream=True))
        assert answered.content == CHUNK + CHUNK + DONE
        assert answered.headers["content-type"].startswith("text/event-stream")


async def test_pieces_arrive_when_they_are_sent() -> None:
    async with (
        upstream(stream(CHUNK, CHUNK, DONE, pause=0.3)) as a,
        proxied(to(a.url)) as client,
        client.stream("POST", CHAT, json=chat(stream=True)) as answered,
    ):
        times = [asyncio.get_running_loop().time() async for _ in answered.aiter_raw()]
        assert len(times) == 3
        assert times[2] - times[0] > 0.4


_BROKEN: dict[str, Behaviour] = {
    "cut": stream(CHUNK, CHUNK, whole=False),
    "cut within an event": stream(CHUNK, CHUNK[:20], whole=False),
    "ended politely too early": stream(CHUNK, CHUNK),
    "ended without a length": raw(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + CHUNK
    ),
    "stalled": raw(STREAM + chunked(CHUNK), chunked(DONE), pause=30),
    "bad chunks": raw(STREAM, chunked(CHUNK), b"zz\r\n", pause=0.05),
}


@pytest.mark.parametrize("name", _BROKEN)
async def test_a_stream_that_breaks_says_so_in_its_last_event(name: str) -> None:
    async with (
        upstream(_BROKEN[name]) as bad,
        upstream(_BROKEN[name]) as other,
        proxied(to(bad.url), to(other.url), idleSeconds=0.3) as client,
    ):
        answered = await client.post(CHAT, json=chat(stream=True))
        *events, last, nothing = answered.content.split(b"\n\n")
        assert nothing == b""
        told = json.loads(last.removeprefix(b"data: "))["error"]
        assert told["code"] in {"upstream_broken", "upstream_timeout"}
        for event in events:
            json.loads(event.removeprefix(b"data: "))  # whole ones only
        assert len(bad.seen) + len(other.seen) == 1  # after the first byte never again


async def test_a_long_answer_that_breaks_is_cut_so_that_its_client_notices() -> None:
    behave = answer(200, b'{"a":"' + b"x" * (3 << 20), length=4 << 20)
    async with upstream(behave) as a, proxied(to(a.url)) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.post(CHAT, json=chat())


async def test_a_compressed_answer_that_nobody_asked_for_passes_as_it_is() -> None:
    body = gzip.compress(b'{"a":1}')
    behave = answer(200, body, "content-type: application/json", "content-encoding: gzip")
    async with upstream(behave) as a, proxied(to(a.url)) as client:
        assert (await client.post(CHAT, json=chat())).json() == {"a": 1}
        assert a.seen[0].headers["accept-encoding"] == "identity"


async def test_and_one_that_does_not_break_arrives() -> None:
    body = b'{"a":"' + b"x" * (3 << 20) + b'"}'
    async with upstream(answer(200, body)) as a, proxied(to(a.url)) as client:
        assert (await client.post(CHAT, json=chat())).content == body


async def test_a_client_that_leaves_ends_the_upstreams_work() -> None:
    for behave in (hang(), endless()):
        async with upstream(behave) as a, proxied(to(a.url)) as client:
            asked = asyncio.create_task(client.post(CHAT, json=chat(stream=True)))
            await _until(lambda a=a: len(a.seen) == 1)
            await asyncio.sleep(0.05)
            assert a.left == 0  # while it stays, the upstream works on
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            await _until(lambda a=a: a.left == 1, seconds=1)


async def test_a_client_that_does_not_read_holds_its_upstream_back() -> None:
    total = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal total
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while True:
            writer.write(CHUNK * 1000)
            await writer.drain()
            total += len(CHUNK) * 1000

    async with (
        upstream(flood) as a,
        proxied(to(a.url)) as client,
        client.stream("POST", CHAT, json=chat(stream=True)),
    ):
        await _until(lambda: total > 0)
        before = -1
        while total != before:
            before = total
            await asyncio.sleep(0.3)
        # The kernel's socket buffers on both ways, and little of our own.
        assert total < 32 << 20


async def test_a_client_that_reads_nothing_for_long_is_gone_and_no_fault_of_the_upstream() -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while True:
            writer.write(CHUNK * 1000)
            await writer.drain()

    async with upstream(flood) as a, proxied(to(a.url), idleSeconds=0.2) as client:
        for number in range(6):  # one more than would open the breaker
            async with client.stream("POST", CHAT, json=chat(stream=True)):
                await _until(lambda number=number: a.left == number + 1)
        a.behaviour = completion()
        assert (await client.post(CHAT, json=chat())).status_code == 200


async def test_a_client_that_leaves_while_it_is_told_of_the_break_is_no_error() -> None:
    client = Exchange(json.dumps(chat(stream=True)).encode(), path=CHAT)

    async def send(message: Message) -> None:
        if b'"error"' in message.get("body", b""):
            client.gone.set()
            await asyncio.sleep(60)  # it takes no more of it

    async with (
        upstream(stream(CHUNK, whole=False)) as a,
        aiohttp.ClientSession() as session,
        asyncio.timeout(10),
    ):
        config = UpstreamConfig.model_validate(to(a.url))
        forward = Forward(Upstreams([Upstream(config, None)]), TimeoutsConfig())
        forward.use(session)
        await forward(client.scope, client.receive, send)
    assert client.gone.is_set()


# Being ready


async def test_ready_once_an_upstream_was_reached() -> None:
    async with (
        upstream(models=answer(503, b"")) as a,
        proxied(to(_refused_port()), to(a.url), ready=False) as client,
    ):
        await asyncio.sleep(0.2)
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200
        a.models = answer(404, b"")  # no such route, but it answers
        async with asyncio.timeout(5):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.05)
        assert not a.seen  # that cost no token


async def test_an_upstream_that_hangs_does_not_keep_the_others_from_being_ready() -> None:
    async with (
        upstream(models=hang()) as a,
        upstream(models=listing("n")) as b,
        asyncio.timeout(5),
        proxied({"url": a.url}, {"url": b.url}) as client,
    ):
        assert (await client.get("/v1/models")).json()["data"][0]["id"] == "n"


async def test_an_upstream_that_does_not_take_the_key_makes_nobody_ready() -> None:
    async with (
        upstream(models=answer(401, b"")) as a,
        proxied(to(a.url, **_KEYED), ready=False) as client,
    ):
        await asyncio.sleep(0.3)
        assert (await client.get("/readyz")).status_code == 503
