"""What an upstream's bytes become, however they are cut, and how much of them is held."""

import asyncio
import itertools
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmservice_server.engines.proxy.connection import Answer, BrokenError, Connection

_OK = b"HTTP/1.1 200 OK\r\n"
_LONG = 1 << 20  # more than any head


class _Transport:
    """What a connection asks of one; it never sends."""

    def __init__(self, unsent: int = 0) -> None:
        self.aborted = self.paused = False
        self._unsent = unsent

    def write(self, _: bytes) -> None:
        return

    def get_write_buffer_size(self) -> int:
        return self._unsent

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class _Wire:
    """A connection whose upstream is the test."""

    def __init__(self, unsent: int = 0) -> None:
        self.transport = _Transport(unsent)
        self.free: list[Connection] = []
        self.connection = Connection(self.free.append, lambda _: None)
        self.connection.connection_made(cast("Any", self.transport))

    def hears(self, *pieces: bytes) -> None:
        for piece in pieces:
            if not self.transport.aborted:
                self.connection.data_received(piece)

    def closes(self, fault: Exception | None = None) -> None:
        self.connection.connection_lost(fault)


async def _all(answer: Answer) -> tuple[int, bytes]:
    await answer.begun()
    body = b""
    while not answer.ended:
        body += await answer.piece()
    return answer.status, body


_WHOLE: dict[str, tuple[bytes, tuple[int, bytes]]] = {
    "a length": (_OK + b"Content-Length: 3\r\n\r\nabc", (200, b"abc")),
    "chunks": (
        _OK + b"transfer-encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\ntrailer: 1\r\n\r\n",
        (200, b"abc"),
    ),
    "nothing": (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", (304, b"")),
    "early ones before": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
        + _OK
        + b"content-length: 1\r\n\r\nx",
        (200, b"x"),
    ),
    "bare line feeds": (b"HTTP/1.1 200 OK\ncontent-length: 1\n\nx", (200, b"x")),
}


@pytest.mark.parametrize("name", _WHOLE)
async def test_an_answer_is_the_same_a_byte_at_a_time(name: str) -> None:
    said, expected = _WHOLE[name]
    for size in (1, 2, 7, len(said)):
        wire = _Wire()
        answer = wire.connection.ask(b"request")
        wire.hears(*(said[at : at + size] for at in range(0, len(said), size)))
        assert await asyncio.wait_for(_all(answer), 5) == expected
        assert wire.free == [wire.connection]
        assert b"link" not in answer.headers
        assert b"trailer" not in answer.headers


@given(name=st.sampled_from(sorted(_WHOLE)), cuts=st.lists(st.integers(1, 200)), late=st.booleans())
async def test_an_answer_is_the_same_wherever_it_is_cut(
    name: str,
    cuts: list[int],
    late: bool,  # noqa: FBT001
) -> None:
    said, expected = _WHOLE[name]
    at = sorted({0, *(cut for cut in cuts if cut < len(said)), len(said)})
    wire = _Wire()
    answer = wire.connection.ask(b"request")
    reading = None if late else asyncio.ensure_future(_all(answer))
    for a, b in itertools.pairwise(at):
        wire.hears(said[a:b])
        await asyncio.sleep(0)
    assert await asyncio.wait_for(reading or _all(answer), 5) == expected


async def test_an_answer_without_a_length_ends_with_its_connection_unless_that_was_reset() -> None:
    for fault, whole in ((None, True), (ConnectionResetError(), False)):
        wire = _Wire()
        answer = wire.connection.ask(b"request")
        wire.hears(_OK + b"content-type: text/plain\r\n\r\nab", b"c")
        wire.closes(fault)
        if whole:
            assert await _all(answer) == (200, b"abc")
        else:
            with pytest.raises(BrokenError):
                await _all(answer)
        assert not wire.free


_BROKEN = {
    "nothing": b"",
    "half a head": _OK + b"content-le",
    "only an early one": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "shorter than it says": _OK + b"content-length: 4\r\n\r\nabc",
    "half a chunk": _OK + b"transfer-encoding: chunked\r\n\r\n4\r\nabc",
    "chunks without an end": _OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\n"
    b"connection: upgrade\r\nupgrade: x\r\n\r\nabc",
    "two lengths": _OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "a length and chunks": _OK
    + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "a negative length": _OK + b"content-length: -1\r\n\r\nabc",
    "a chunk of no size": _OK + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc",
    "a header with a control character": _OK + b"x: a\x01b\r\ncontent-length: 1\r\n\r\nx",
    "rubbish behind it": _OK + b"content-length: 3\r\n\r\nabcdef",
    "another answer behind it": 2 * (_OK + b"content-length: 3\r\n\r\nabc"),
    "a head without an end": _OK + b"x: " + b"y" * _LONG,
    "headers without an end": _OK + b"x: y\r\n" * _LONG,
    "early ones without an end": b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" * (_LONG // 32),
    "a trailer without an end": _OK
    + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: "
    + b"y" * _LONG,
    "a chunk's extension without an end": _OK
    + b"transfer-encoding: chunked\r\n\r\n3;"
    + b"y" * _LONG,
}


def _sizes() -> list[tuple[str, int]]:
    """Names with the sizes of what comes at once: a byte too, of what is short, and but for what
    comes behind an answer, since what comes later is no part of it.
    """
    short = [name for name, said in _BROKEN.items() if len(said) < 4096 and "behind" not in name]
    return [(name, 1 << 18) for name in _BROKEN] + [(name, 1) for name in short]


@pytest.mark.parametrize(("name", "size"), _sizes())
async def test_what_is_no_whole_answer_never_looks_like_one(name: str, size: int) -> None:
    said = _BROKEN[name]
    wire = _Wire()
    answer = wire.connection.ask(b"request")
    heard = 0
    for at in range(0, len(said), size):
        if wire.transport.aborted:
            break
        wire.connection.data_received(said[at : at + size])
        heard += size
    wire.closes()
    with pytest.raises(BrokenError):
        await asyncio.wait_for(_all(answer), 5)
    assert not wire.free
    if len(said) >= _LONG:
        assert heard <= 2 * size


async def test_a_large_body_is_no_large_head() -> None:
    wire = _Wire()
    answer = wire.connection.ask(b"request")
    wire.hears(_OK + b"content-length: %d\r\n\r\n" % _LONG, b"x" * _LONG)
    assert await _all(answer) == (200, b"x" * _LONG)
    assert wire.free == [wire.connection]
    assert not wire.transport.paused  # or the next answer would never come


_LAST = {
    "it says so": _OK + b"connection: close\r\ncontent-length: 3\r\n\r\nabc",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc",
}


@pytest.mark.parametrize("name", _LAST)
async def test_a_connection_that_is_to_be_closed_is_not_used_again(name: str) -> None:
    wire = _Wire()
    answer = wire.connection.ask(b"request")
    wire.hears(_LAST[name])
    assert await _all(answer) == (200, b"abc")
    assert not wire.free
    assert wire.transport.aborted


@pytest.mark.parametrize("unsent", [0, 1])
async def test_nor_is_one_that_answers_before_the_request_was_sent(unsent: int) -> None:
    wire = _Wire(unsent)
    answer = wire.connection.ask(b"request")
    wire.hears(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}")
    assert await _all(answer) == (413, b"{}")
    assert bool(wire.free) is (unsent == 0)
    assert wire.transport.aborted is (unsent > 0)


@pytest.mark.parametrize("said", [b"HTTP/1.1 408 Request Timeout\r\n", b"x", b"\r\n"])
async def test_what_comes_unasked_ends_the_connection(said: bytes) -> None:
    wire = _Wire()
    answer = wire.connection.ask(b"request")
    wire.hears(_OK + b"content-length: 3\r\n\r\nabc")
    assert not wire.transport.aborted
    wire.hears(said)
    assert wire.transport.aborted
    assert await _all(answer) == (200, b"abc")  # which was whole before


async def test_what_is_left_unread_ends_the_connection_and_what_is_whole_does_not() -> None:
    for body, ended in ((b"ab", True), (b"abc", False)):
        wire = _Wire()
        answer = wire.connection.ask(b"request")
        wire.hears(_OK + b"content-length: 3\r\n\r\n" + body)
        answer.close()
        assert wire.transport.aborted is ended
        assert bool(wire.free) is not ended


async def test_an_upstream_is_held_back_while_nobody_reads() -> None:
    wire = _Wire()
    answer = wire.connection.ask(b"request")
    wire.hears(_OK + b"content-type: text/event-stream\r\n\r\n")
    heard = 0
    while not wire.transport.paused:
        wire.hears(b"x" * 1000)
        heard += 1000
    assert heard < 1 << 17
    assert len(await answer.piece()) == heard
    assert not wire.transport.paused  # and goes on once somebody did
