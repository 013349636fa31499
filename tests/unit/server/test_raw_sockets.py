"""Hostile bytes on a real uvicorn: never a 500, never a hang, never a leaked count, always the
shape of an error; and the same bytes on the engine alone, which show what they do.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmservice_server.config import HttpConfig, LimitsConfig
from llmservice_server.gateway.asgi import Receive, Scope, Send, answer_error, answer_json

from tests.fuzz.attacks import ATTACKS, Attack, get, post
from tests.fuzz.wire import sent
from tests.length import lasting
from tests.unit.server.small_engine import Served, SmallEngine, served, until

_HTTP = HttpConfig(header_seconds=1, body_seconds=1, max_header_bytes=8192, max_body_bytes=100_000)
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


def _at(server: Served) -> tuple[str, int]:
    return "127.0.0.1", server.port


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
        answer = await sent(_at(server), post(b'{"max_tokens": 1}'))
        assert _check(answer, "an honest request") == {200}


async def test_each_attack_is_answered_in_time_and_in_shape() -> None:
    async with _serving() as server:
        answers = await asyncio.gather(*(sent(_at(server), each.bytes_) for each in ATTACKS))
        for attack, answer in zip(ATTACKS, answers, strict=True):
            statuses = _check(answer, attack.name)
            if attack.answers:
                assert statuses == attack.answers, attack.name


async def test_attacks_in_pieces_or_cut_off_leave_nothing_behind() -> None:
    async with _serving() as server:
        for cut in (False, True):
            answers = await asyncio.gather(
                *(sent(_at(server), each.bytes_, pieces=7, cut=cut) for each in ATTACKS)
            )
            for attack, answer in zip(ATTACKS, answers, strict=True):
                _check(answer, attack.name)


@pytest.mark.parametrize("attack", [each for each in ATTACKS if each.harms], ids=lambda a: a.name)
async def test_control_the_engine_alone_fails_or_waits_for_ever(attack: Attack) -> None:
    async with served(_Naive(), bare=True) as server:
        reader, writer = await asyncio.open_connection(*_at(server))
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
        *(post(b'{"max_tokens": 1}'), post(b'{"max_tokens": NaN}'), get()),
    ]
)
_stream = st.lists(_token | st.binary(max_size=20), min_size=1, max_size=12).map(b"".join)


@settings(max_examples=lasting(8, 100), deadline=None)
@given(st.lists(_stream, min_size=20, max_size=20), st.integers(1, 5))
def test_random_streams_of_bytes_do_no_harm(streams: list[bytes], pieces: int) -> None:
    async def attack() -> None:
        async with _serving() as server:
            coming = [sent(_at(server), each, pieces=pieces) for each in streams]
            for data, answer in zip(streams, await asyncio.gather(*coming), strict=True):
                assert not re.search(rb"HTTP/1\.1 5", answer), data

    asyncio.run(attack())
