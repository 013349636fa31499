"""Clients that hold a connection open for nothing: half a head, a slow body, an answer not read.

Each with the control that uvicorn as it comes does not mind.
"""

import asyncio
import json
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn.protocols.http.auto
from llmservice_server.config import HttpConfig
from llmservice_server.engines import connections
from llmservice_server.engines.connections import OVERRIDDEN, UVICORN, guard_uvicorn, guarded
from prometheus_client import REGISTRY
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.unit.server.small_engine import Served, SmallEngine, served, until

_HTTP = HttpConfig(
    header_seconds=1,
    body_seconds=1,
    max_header_bytes=4096,
    max_body_bytes=100_000,
    max_connections=16,
)
_PATIENCE = 6  # seconds: several times the deadlines, for a machine may be busy


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with served(SmallEngine(), http=_HTTP) as running:
        await until(lambda: running.context.lifecycle.phase.value == "ready")
        yield running


class _Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, text: bytes) -> None:
        self.writer.write(text)

    async def rest(self, seconds: float = _PATIENCE) -> bytes:
        """All that comes until the server closes. Raises TimeoutError when it does not."""
        try:
            return await asyncio.wait_for(self.reader.read(), seconds)
        except ConnectionError:
            return b""

    async def error(self) -> tuple[int, str]:
        """Status and type of the one answer that comes before the server closes."""
        head, _, body = (await self.rest()).partition(b"\r\n\r\n")
        assert b"connection: close" in head
        return int(head.split()[1]), json.loads(body)["error"]["type"]


async def _connect(server: Served) -> _Client:
    return _Client(*await asyncio.open_connection("127.0.0.1", server.port))


@pytest.fixture
def ended(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Why connections were ended since the test began, as counted and as logged."""
    caplog.set_level(logging.INFO, "llmservice.connections")

    def counts() -> Counter[str]:
        samples = (sample for family in REGISTRY.collect() for sample in family.samples)
        name = "llmservice_connections_ended_total"
        return Counter({s.labels["reason"]: int(s.value) for s in samples if s.name == name})

    before = counts()

    def since() -> list[str]:
        counted = sorted((counts() - before).elements())
        logged = [r.getMessage() for r in caplog.records if r.name == "llmservice.connections"]
        assert sorted(logged) == [f"ended a connection: {reason}" for reason in counted]
        return counted

    return since


_HALVES = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"\r\n\r\n", id="empty lines"),
    pytest.param(b"POST /v1/comp", id="half a line"),
    pytest.param(b"GET / HTTP/1.1\r\nhost: x\r\n", id="half a head"),
    pytest.param(b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n{", id="half a body"),
]


@pytest.mark.parametrize("half", _HALVES)
async def test_what_is_not_whole_in_time_ends(
    server: Served, half: bytes, ended: Callable[[], list[str]]
) -> None:
    client = await _connect(server)
    client.send(half)
    assert b" 500 " not in await client.rest()
    assert server.context.lifecycle.in_flight == 0
    if b"{" in half:  # the gateway's own deadline, which counts a request
        assert ended() == []
    else:
        assert ended() == ["too_late"]


@pytest.mark.parametrize("half", _HALVES)
async def test_control_uvicorn_waits_for_ever(half: bytes) -> None:
    async with served(SmallEngine(), bare=True) as server:
        client = await _connect(server)
        client.send(half)
        with pytest.raises(TimeoutError):
            await client.rest(seconds=2.5)
        client.writer.close()


@pytest.mark.parametrize("drop", [b"x", b"\r\n"])
async def test_a_client_that_sends_now_and_then_ends_too(server: Served, drop: bytes) -> None:
    client = await _connect(server)
    if drop == b"x":
        client.send(b"GET / HTTP/1.1\r\nx: ")
    ended = asyncio.create_task(client.rest())
    while not ended.done():
        client.send(drop)
        await asyncio.sleep(0.1)
    if drop == b"x":
        assert b"408 Request Timeout" in ended.result()


async def test_on_a_connection_that_is_kept_the_deadlines_begin_anew(server: Served) -> None:
    client = await _connect(server)
    for _ in range(3):
        client.send(b"GET /livez HTTP/1.1\r\n\r\n")
        await client.reader.readuntil(b'"alive"}')
        await asyncio.sleep(0.6)  # idle, which is uvicorn's to end
    client.send(b"GET /livez HTTP/1.1\r\n")
    assert await client.error() == (408, "request_timeout")


async def test_a_slow_answer_is_no_slow_client(server: Served) -> None:
    server.engine.pace = 0.3
    client = await _connect(server)
    body = b'{"max_tokens": 10, "stream": true}'
    client.send(b"POST /v1/completions HTTP/1.1\r\nconnection: close\r\n")
    client.send(b"content-length: %d\r\n\r\n%s" % (len(body), body))
    assert b"[DONE]" in await client.rest(seconds=20)


async def test_a_head_without_an_end_is_cut_at_its_size(
    server: Served, ended: Callable[[], list[str]]
) -> None:
    client = await _connect(server)
    client.send(b"GET / HTTP/1.1\r\nx: ")
    answer = asyncio.create_task(client.error())
    while not answer.done():
        client.send(b"y" * 2000)
        await asyncio.sleep(0.01)
    assert answer.result() == (431, "request_header_fields_too_large")
    assert ended() == ["too_large"]


async def test_trailers_are_no_headers(server: Served) -> None:
    client = await _connect(server)
    client.send(b"POST /v1/completions HTTP/1.1\r\nconnection: close\r\n")
    client.send(b"transfer-encoding: chunked\r\ntrailer: x-request-id\r\n\r\n")
    body = b'{"max_tokens": 1}'
    client.send(b"%x\r\n%s\r\n0\r\nx-request-id: forged\r\n\r\n" % (len(body), body))
    assert b"200 OK" in await client.rest()
    assert "forged" not in server.engine.seen_ids


async def test_a_client_that_reads_nothing_of_its_answer_is_let_go(
    server: Served, monkeypatch: pytest.MonkeyPatch, ended: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr(connections, "_STALLED", 1.0)
    server.engine.pace = 0
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", server.port))
    body = b'{"max_tokens": 2000000, "stream": true}'
    deaf.sendall(b"POST /v1/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body))
    deaf.sendall(body)
    await until(lambda: server.context.turns.running == 1)
    await until(lambda: server.context.turns.running == 0, seconds=60)
    assert server.engine.left_early == 1
    assert ended() == ["stalled"]
    deaf.close()


async def test_beyond_the_bound_the_one_that_waits_longest_makes_room(
    server: Served, ended: Callable[[], list[str]]
) -> None:
    busy = await _connect(server)
    server.engine.pace = 0.1
    body = b'{"max_tokens": 1000, "stream": true}'
    busy.send(b"POST /v1/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    await busy.reader.readuntil(b"w0")
    silent = [await _connect(server) for _ in range(16)]  # one more than there is room for
    first, last = silent[0], silent[-1]
    assert await first.rest(seconds=0.9) == b""
    assert ended() == ["too_many"]
    last.send(b"GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n")
    assert b"200 OK" in await last.rest(seconds=0.9)
    await busy.reader.readuntil(b"w")  # who is being answered is not touched
    busy.writer.transport.abort()
    for client in silent:
        client.writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"NOT HTTP\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http:// HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        b"POST / HTTP/1.1\r\ncontent-length: -2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}",
        b"POST / HTTP/1.1\r\ncontent-length : 2\r\n\r\n{}",
        b"GET / HTTP/1.1\r\nx\x00: a\r\n\r\n",
    ],
)
async def test_a_malformed_request_is_refused_in_openais_shape(
    server: Served, request_: bytes, ended: Callable[[], list[str]]
) -> None:
    client = await _connect(server)
    client.send(request_)
    assert (await client.error())[0] == 400
    assert ended() == ["malformed"]
    await until(lambda: server.context.lifecycle.in_flight == 0)


async def test_garbage_after_a_request_stands_in_no_answer(server: Served) -> None:
    server.engine.pace = 0.05
    client = await _connect(server)
    body = b'{"max_tokens": 1000, "stream": true}'
    client.send(
        b"POST /v1/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    )
    await client.reader.readuntil(b"w0")
    client.send(b"\x00garbage\r\n\r\n")
    assert b"400" not in await client.rest()
    await until(lambda: server.context.turns.running == 0)


async def test_an_answers_head_does_not_wait_for_what_comes_later(server: Served) -> None:
    server.engine.pace = 3
    client = await _connect(server)
    body = b'{"max_tokens": 1, "stream": true}'
    client.send(
        b"POST /v1/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    )
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    with pytest.raises(TimeoutError):  # the first word is not there yet
        await asyncio.wait_for(client.reader.read(1), 0.2)
    client.writer.close()


def test_uvicorns_own_choice_is_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    auto: Any = uvicorn.protocols.http.auto
    monkeypatch.setattr(auto, "AutoHTTPProtocol", HttpToolsProtocol)
    guard_uvicorn(_HTTP)
    config = uvicorn.Config(SmallEngine(), log_config=None)  # that would be every test's
    config.load()
    assert config.http_protocol_class is auto.AutoHTTPProtocol
    assert config.http_protocol_class is not HttpToolsProtocol
    assert issubclass(config.http_protocol_class, HttpToolsProtocol)


def test_another_protocol_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    auto: Any = uvicorn.protocols.http.auto
    monkeypatch.setattr(auto, "AutoHTTPProtocol", H11Protocol)
    guard_uvicorn(_HTTP)
    assert auto.AutoHTTPProtocol is H11Protocol
    assert "slow clients may hold connections open" in caplog.text


def test_these_names_of_uvicorn_are_used_and_no_others() -> None:
    """asyncio's and httptools' callbacks, and uvicorn's own that a release may rename."""
    assert UVICORN == ("uvicorn.protocols.http.auto", "AutoHTTPProtocol")
    mixin = guarded(HttpToolsProtocol, _HTTP).__mro__[1]
    public = {name for name in vars(mixin) if not name.startswith("_")}
    assert public - {"bounds", "patient", "give_up"} == set(OVERRIDDEN)
    assert all(callable(getattr(HttpToolsProtocol, name)) for name in OVERRIDDEN)
