"""Which connection a request goes out on, and that it goes out once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from llmservice_server.config import UpstreamConfig
from llmservice_server.engines.proxy import pool
from llmservice_server.engines.proxy.connection import BrokenError
from llmservice_server.engines.proxy.dial import UnreachableError
from llmservice_server.engines.proxy.upstream import Upstream

from tests.unit.server.proxy.proxied import nobody, to
from tests.unit.server.small_engine import until

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@dataclass
class _Peer:
    url: str = ""
    asked: list[int] = field(default_factory=list[int])
    """Of each request the number of its connection."""
    opened: int = 0
    closed: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])

    async def heard(self, reader: asyncio.StreamReader, number: int) -> bytes:
        """The next request's body."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        self.asked.append(number)
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return await reader.readexactly(int(length or 0))


@asynccontextmanager
async def _peer(*answers: bytes, then: str = "keep") -> AsyncIterator[_Peer]:
    """Answers the requests of each connection with these; then keeps it open or closes it."""
    made = _Peer()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, made.opened = made.opened, made.opened + 1
        made.writers.append(writer)
        try:
            for answer in answers:
                await made.heard(reader, number)
                writer.write(answer)
            while then == "keep":
                await made.heard(reader, number)
                writer.write(answers[-1])
            if then == "hear":
                await made.heard(reader, number)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            made.closed += 1
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield made
    finally:
        server.close()
        for writer in made.writers:
            writer.close()


@asynccontextmanager
async def _upstream(url: str) -> AsyncIterator[Upstream]:
    made = Upstream(UpstreamConfig.model_validate(to(url)), None)
    try:
        yield made
    finally:
        made.close()


async def _ask(up: Upstream, body: bytes = b"{}") -> tuple[int, bytes]:
    async with asyncio.timeout(10):
        answer = await up.post("/v1/completions", b"", body, 5)
        try:
            await answer.begun()
            read = b""
            while not answer.ended:
                read += await answer.piece()
            return answer.status, read
        finally:
            answer.close()


async def test_requests_one_after_the_other_share_a_connection() -> None:
    async with _peer(_ANSWER) as peer, _upstream(peer.url) as up:
        for _ in range(5):
            assert await _ask(up) == (200, b"{}")
        assert peer.asked == [0] * 5


async def test_requests_at_once_do_not() -> None:
    async with _peer(_ANSWER) as peer, _upstream(peer.url) as up:
        assert await asyncio.gather(*(_ask(up) for _ in range(5))) == [(200, b"{}")] * 5
        assert sorted(peer.asked) == [0, 1, 2, 3, 4]
        await _ask(up)
        assert peer.opened == 5


async def test_also_after_answers_that_nobody_took_as_fast_as_they_came() -> None:
    body = b"x" * (1 << 20)
    long = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    async with _peer(long) as peer, _upstream(peer.url) as up:
        for _ in range(5):
            answer = await up.post("/v1/completions", b"", b"{}", 5)
            await answer.begun()
            read = 0
            async with asyncio.timeout(10):
                while not answer.ended:
                    await asyncio.sleep(0.01)
                    read += len(await answer.piece())
            assert read == len(body)
        assert peer.asked == [0] * 5


async def test_what_the_upstream_closed_meanwhile_is_not_used_again() -> None:
    async with _peer(_ANSWER, then="close") as peer, _upstream(peer.url) as up:
        for number in range(3):
            assert await _ask(up) == (200, b"{}")
            await until(lambda number=number: peer.closed == number + 1)
            await asyncio.sleep(0.01)
        assert peer.asked == [0, 1, 2]


async def test_nor_what_it_said_something_on_unasked() -> None:
    goodbye = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    async with _peer(_ANSWER) as peer, _upstream(peer.url) as up:
        await _ask(up)
        peer.writers[0].write(goodbye)
        await until(lambda: peer.closed == 1)  # at once, without a next request
        assert await _ask(up) == (200, b"{}")
        assert peer.asked == [0, 1]


async def test_a_request_that_may_have_been_heard_is_not_sent_again() -> None:
    async with _peer(_ANSWER, then="hear") as peer, _upstream(peer.url) as up:
        await _ask(up)
        with pytest.raises(BrokenError):
            await _ask(up)
        assert peer.asked == [0, 0]
        assert await _ask(up) == (200, b"{}")


async def test_a_connection_is_not_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_KEPT", 0.2)
    async with _peer(_ANSWER) as peer, _upstream(peer.url) as up:
        await asyncio.gather(_ask(up), _ask(up))
        for _ in range(10):  # in use it stays, and the other one goes
            await asyncio.sleep(0.05)
            await _ask(up)
        await until(lambda: peer.closed == 1)
        assert peer.opened == 2
        await until(lambda: peer.closed == 2)


async def test_no_more_are_kept_than_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_MOST", 2)
    async with _peer(_ANSWER) as peer, _upstream(peer.url) as up:
        await asyncio.gather(*(_ask(up) for _ in range(5)))
        await until(lambda: peer.closed == 3)


async def test_half_an_answer_is_never_in_the_way_of_the_next_request() -> None:
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"
    async with _peer(half) as peer, _upstream(peer.url) as up:
        for number in range(3):
            answer = await up.post("/v1/completions", b"", b"{}", 5)
            await answer.begun()
            answer.close()
            await until(lambda number=number: peer.closed == number + 1)
        assert peer.asked == [0, 1, 2]


async def test_who_gives_up_ends_the_connection_at_once() -> None:
    async with _peer(b"HTTP/1.1 103 Early Hints\r\n\r\n") as peer, _upstream(peer.url) as up:
        asking = asyncio.ensure_future(_ask(up))
        await until(lambda: bool(peer.asked))
        assert peer.closed == 0
        asking.cancel()
        await until(lambda: peer.closed == 1)
        # also while a body is on its way that nobody takes
    async with _deaf() as (url, left), _upstream(url) as up:
        asking = asyncio.ensure_future(_ask(up, b"x" * (1 << 26)))
        await asyncio.sleep(0.2)
        asking.cancel()
        await asyncio.wait_for(left.wait(), 5)


@asynccontextmanager
async def _deaf() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Takes a little, waits, and then says whether its client left."""
    left = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        read = 0
        await asyncio.sleep(0.4)
        try:
            while piece := await reader.read(1 << 20):
                read += len(piece)
        except OSError:
            pass
        if read < 1 << 26:
            left.set()
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", left
    finally:
        server.close()


async def test_an_answer_that_comes_before_the_request_was_sent_whole_is_an_answer() -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0, limit=1 << 16)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server, _upstream(url) as up:
        for _ in range(2):
            assert await _ask(up, b"x" * (1 << 26)) == (413, b"{}")


async def test_what_nobody_takes_is_bounded_and_comes_whole_once_somebody_does() -> None:
    size, sent = 1 << 26, 0

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * (1 << 16))
            await writer.drain()
            sent += 1 << 16
        await reader.read()
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server, _upstream(url) as up:
        answer = await up.post("/v1/completions", b"", b"{}", 5)
        await answer.begun()
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 1 << 24  # what the kernel holds on its way, and little of our own
        read = 0
        while not answer.ended:
            read += len(await answer.piece())
        assert read == size


async def test_nobody_there_is_told_from_a_broken_answer() -> None:
    async with _upstream(nobody()) as up:
        with pytest.raises(UnreachableError):
            await _ask(up)
    async with _upstream("http://a-name-that-is-not.invalid/v1") as up:
        with pytest.raises(UnreachableError):
            await _ask(up)
