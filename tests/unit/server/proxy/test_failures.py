"""What becomes of a request that an upstream refuses, breaks off or leaves unanswered."""

import asyncio

import pytest

from tests.unit.server.proxy.proxied import CHAT, KEYED, chat, error_of, nobody, proxied, to
from tests.unit.server.proxy.upstream_double import (
    KEY,
    Behaviour,
    answer,
    completion,
    endless,
    hang,
    raw,
    stream,
    upstream,
)
from tests.unit.server.small_engine import until

_ERROR = b'{"error":{"message":"%s","type":"server_error","param":null,"code":"some_code"}}'


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
    async with upstream(behave) as a, proxied(to(a.url, **KEYED)) as client:
        answered = await client.post(CHAT, json=chat())
        error = error_of(answered)
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
        assert error_of(refused)["message"] == "maximum context length is 8 tokens"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_our_fault_and_nothing_is_told_of_it(status: int) -> None:
    behave = answer(status, _ERROR % f"Incorrect API key: {KEY[:9]}***".encode())
    async with upstream(behave) as a, proxied(to(a.url, **KEYED)) as client:
        answered = await client.post(CHAT, json=chat())
        assert (answered.status_code, error_of(answered)["code"]) == (502, "upstream_unauthorized")
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
        assert error_of(answered)["message"]


async def test_who_refuses_connections_is_passed_over() -> None:
    async with upstream() as good, proxied(to(nobody()), to(good.url)) as client:
        for _ in range(8):
            assert (await client.post(CHAT, json=chat())).status_code == 200


async def test_where_nobody_can_be_reached_it_is_503_and_when_to_come_back() -> None:
    async with upstream() as other, proxied(to(nobody()), to(other.url, "x")) as client:
        for _ in range(8):  # the breaker opens on the way
            answered = await client.post(CHAT, json=chat())
            assert (answered.status_code, answered.headers["retry-after"]) == (503, "1")
            assert error_of(answered)["code"] == "service_unavailable"


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
        await until(lambda: sum(each.done() for each in asked) == 5)
        assert len(sick.seen) == 6  # one tries, the others do not wait for it
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await until(lambda: sick.left == 1)
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
