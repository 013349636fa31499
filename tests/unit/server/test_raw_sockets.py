"""Hostile bytes on a real uvicorn: never a 500, never a hang, never a leaked count, always the
shape of an error; and the same bytes on the engine alone, which show what they do.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmservice_server.config import HttpConfig, LimitsConfig
from llmservice_server.gateway.asgi import Receive, Scope, Send, answer_error, answer_json

from tests.unit.server.small_engine import Served, SmallEngine, served, until

_HTTP = HttpConfig(header_seconds=1, body_seconds=1, max_header_bytes=8192, max_body_bytes=100_000)
_BOUND = 15  # seconds until every connection must have ended
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class _Naive(SmallEngine):
    """Believes what it is sent as engines do: echoes a wrong value, counts with any number."""

    async def _complete(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        try:
            request = json.loads(body)
        except json.JSONDecodeError:
            await answer_error(send, 400, "invalid_request_error", "not JSON")
            return
        words = request.get("max_tokens", 1) if isinstance(request, dict) else None
        if isinstance(words, float):
            words = int(words)
        if not isinstance(words, int) or not 0 < words < 1000:
            echo = json.dumps({"input": request}, allow_nan=False, ensure_ascii=False)
            echo.encode()
            await answer_error(send, 400, "invalid_request_error", "max_tokens is wrong")
            return
        words.to_bytes(8)
        await answer_json(send, 200, {"choices": [], "seed": int(request.get("seed", 1)) % 2**64})


@dataclass(frozen=True)
class _Attack:
    name: str
    bytes_: bytes
    harms: bool = False
    """Whether the engine alone answers 500 or does not end."""
    answers: frozenset[int] = field(default_factory=frozenset)


def _post(body: bytes, *lines: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = ["POST /v1/completions HTTP/1.1", "host: x", "connection: close", *lines]
    if not any("transfer-encoding" in line.lower() for line in lines):
        head.append(f"content-length: {size}")
    if not any("content-type" in line.lower() for line in lines):
        head.append("content-type: application/json")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def _attack(name: str, data: bytes, *answers: int, harms: bool = False) -> _Attack:
    return _Attack(name, data, harms, frozenset(answers))


_GET = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
_ATTACKS = [
    _attack("nothing", b"", harms=True),
    _attack("half a line", b"POST /v1/compl", 408, harms=True),
    _attack("half a head", b"POST /v1/completions HTTP/1.1\r\nhost: x\r\nco", 408, harms=True),
    _attack("half a body", _post(b'{"max_tokens"', length=99), 408, harms=True),
    _attack("half a chunk", _post(b"ff\r\n{", "Transfer-Encoding: chunked"), 408, harms=True),
    _attack("a head of 1 MB", _post(b"{}", f"x: {'y' * 1_000_000}"), 431),
    _attack("10,000 headers", _post(b"{}", *(f"x{n}: y" for n in range(10_000))), 431),
    _attack("a path of 20 kB", b"GET /%s HTTP/1.1\r\n\r\n" % (b"x" * 20_000), 431),
    _attack("a path that is no UTF-8", b"GET /\xff\xfe HTTP/1.1\r\n\r\n", 400),
    _attack("an escaped path", b"GET /%00%ff%2e%2e HTTP/1.1\r\nconnection: close\r\n\r\n", 404),
    _attack("no length at all", b"POST /v1/completions HTTP/1.1\r\nconnection: close\r\n\r\n"),
    _attack("a body of 1 MB", _post(b'"' + b"x" * 1_000_000 + b'"'), 413),
    _attack("a length of 1 TB", _post(b"{", length=10**12), 413, harms=True),
    _attack("a length beyond 64 bits", _post(b"{", length=10**30), 400),
    _attack("a negative length", _post(b"{}", length=-1), 400),
    _attack("two lengths", _post(b"{}", "Content-Length: 1"), 400),
    _attack(
        "a length and chunks",
        _post(b"0\r\n\r\n", "Content-Length: 5", "Transfer-Encoding: chunked"),
        400,
    ),
    _attack("chunks that are none", _post(b"xyz\r\n\r\n", "Transfer-Encoding: chunked"), 400),
    _attack("a chunk of 2^63", _post(b"8000000000000000\r\n{", "Transfer-Encoding: chunked"), 408),
    _attack("invalid UTF-8", _post(b'{"prompt": "\xff\xc3\x28"}'), 400, harms=True),
    _attack("a lone surrogate", _post(b'{"max_tokens": "\\ud800"}'), 400, harms=True),
    _attack("UTF-16", _post('{"max_tokens": 1}'.encode("utf-16")), 400),
    _attack("deep lists", _post(b"[" * 40_000 + b"]" * 40_000), 400, harms=True),
    _attack("deep objects", _post(b'{"a":' * 10_000 + b"1" + b"}" * 10_000), 400, harms=True),
    _attack("depth without an end", _post(b"[" * 90_000), 400, harms=True),
    _attack("text for JSON", _post(b"max_tokens=1"), 400),
    _attack("plain text", _post(b'{"max_tokens": 1}', "Content-Type: text/plain"), 415),
    _attack("a form", _post(b"a=1", "Content-Type: application/x-www-form-urlencoded"), 415),
    _attack("a list", _post(b"[1]"), 400),
    _attack("null", _post(b"null"), 400),
    _attack("a negative number", _post(b'{"max_tokens": -1}'), 400),
    _attack("an enormous number", _post(b'{"max_tokens": 1%s}' % (b"0" * 4000)), 400),
    _attack("more digits than Python reads", _post(b"1" * 5000), 400, harms=True),
    _attack("an enormous seed", _post(b'{"seed": 1e400}'), 400, harms=True),
    _attack("NaN", _post(b'{"max_tokens": NaN}'), 400, harms=True),
    _attack("Infinity", _post(b'{"max_tokens": -Infinity}'), 400, harms=True),
    _attack("NaN deep inside", _post(b'{"max_tokens": 0, "a": [{"b": NaN}]}'), 400, harms=True),
    _attack("an infinite float", _post(b'{"max_tokens": 1e999}'), 400, harms=True),
    _attack("garbage", bytes(range(256)) * 10, 400),
    _attack("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, 400),
    _attack("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    _attack("garbage after a request", _GET + b"\x00\xff\r\n\r\n"),
    _attack(
        "requests in a row",
        _GET * 20 + _GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"),
        200,
    ),
    _attack("an upgrade to nothing", _post(b"{}", "Upgrade: h2c", "Connection: upgrade")),
    _attack("CONNECT", b"CONNECT evil:443 HTTP/1.1\r\nhost: x\r\n\r\n"),
    _attack("expects", _post(b'{"max_tokens": 1}', "Expect: 100-continue"), 100, 200),
]


async def _sent(port: int, data: bytes, *, pieces: int = 1, cut: bool = False) -> bytes:
    """What comes back until the server closes. Raises TimeoutError when it never does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        size = max(len(data) // pieces, 1)
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            if pieces > 1:
                await asyncio.sleep(0)
        if cut:
            writer.transport.abort()
            return b""
        return await asyncio.wait_for(reader.read(), _BOUND)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def _check(answer: bytes, attack: str) -> set[int]:
    statuses = {int(found) for found in _STATUS.findall(answer)}
    assert 500 not in statuses, attack
    if statuses and max(statuses) >= 400:
        error = json.loads(answer[answer.rindex(b"\r\n\r\n") :])["error"]
        assert error.keys() == {"message", "type", "param", "code"}, attack
        assert len(answer) < 2000, attack  # nothing is echoed
    return statuses


@asynccontextmanager
async def _serving() -> AsyncIterator[Served]:
    limits = LimitsConfig(running=4, waiting=4)
    async with served(_Naive(), http=_HTTP, limits=limits) as server:
        await until(lambda: server.context.lifecycle.phase.value == "ready")
        yield server
        # Nothing is left behind of whatever was sent, and whoever comes next is served.
        turns, lifecycle = server.context.turns, server.context.lifecycle
        await until(lambda: (turns.running, turns.waiting, lifecycle.in_flight) == (0, 0, 0))
        answer = await _sent(server.port, _post(b'{"max_tokens": 1}'))
        assert _check(answer, "an honest request") == {200}


async def test_each_attack_is_answered_in_time_and_in_shape() -> None:
    async with _serving() as server:
        answers = await asyncio.gather(*(_sent(server.port, each.bytes_) for each in _ATTACKS))
        for attack, answer in zip(_ATTACKS, answers, strict=True):
            statuses = _check(answer, attack.name)
            if attack.answers:
                assert statuses == attack.answers, attack.name


async def test_attacks_in_pieces_or_cut_off_leave_nothing_behind() -> None:
    async with _serving() as server:
        for cut in (False, True):
            answers = await asyncio.gather(
                *(_sent(server.port, each.bytes_, pieces=7, cut=cut) for each in _ATTACKS)
            )
            for attack, answer in zip(_ATTACKS, answers, strict=True):
                _check(answer, attack.name)


@pytest.mark.parametrize("attack", [each for each in _ATTACKS if each.harms], ids=lambda a: a.name)
async def test_control_the_engine_alone_fails_or_waits_for_ever(attack: _Attack) -> None:
    async with served(_Naive(), bare=True) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(attack.bytes_)
        try:
            answer = await asyncio.wait_for(reader.read(), 2)
        except TimeoutError:
            return
        finally:
            writer.close()
        assert b"HTTP/1.1 500 " in answer


_token = st.sampled_from(
    [
        *(
            b"POST ",
            b"GET ",
            b"/v1/completions",
            b" HTTP/1.1",
            b"\r\n",
            b"\r\n\r\n",
            b": ",
            b"\x00",
        ),
        *(b"content-length: 5", b"transfer-encoding: chunked", b"connection: close", b"0\r\n\r\n"),
        *(
            b"5\r\nhello\r\n",
            b"{",
            b"}",
            b"[",
            b'"',
            b"NaN",
            b"1e999",
            b"max_tokens",
            b"\xff",
            b",",
        ),
        *(b"expect: 100-continue", b"upgrade: websocket", b"content-type: text/plain", b"x" * 9000),
        *(_post(b'{"max_tokens": 1}'), _post(b'{"max_tokens": NaN}'), _GET),
    ]
)
_stream = st.lists(_token | st.binary(max_size=20), min_size=1, max_size=12).map(b"".join)


@settings(max_examples=15, deadline=None)
@given(st.lists(_stream, min_size=20, max_size=20), st.integers(1, 5))
def test_random_streams_of_bytes_do_no_harm(streams: list[bytes], pieces: int) -> None:
    async def attack() -> None:
        async with _serving() as server:
            sent = [_sent(server.port, each, pieces=pieces) for each in streams]
            for data, answer in zip(streams, await asyncio.gather(*sent), strict=True):
                assert not re.search(rb"HTTP/1\.1 5", answer), data

    asyncio.run(attack())
