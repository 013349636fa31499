"""Answers on their way to clients: streams, long ones, and clients that leave or do not read."""

import asyncio
import gzip
import json

import httpx2
import pytest
from llmservice_server.config import TimeoutsConfig, UpstreamConfig
from llmservice_server.engines.proxy.forward import Forward
from llmservice_server.engines.proxy.upstream import Upstream
from llmservice_server.engines.proxy.upstreams import Upstreams
from llmservice_server.gateway.asgi import Message

from tests.unit.server.layer import Exchange
from tests.unit.server.proxy.proxied import CHAT, chat, proxied, to
from tests.unit.server.proxy.upstream_double import (
    CHUNK,
    DONE,
    STREAM,
    Behaviour,
    answer,
    chunked,
    completion,
    endless,
    hang,
    raw,
    stream,
    upstream,
)
from tests.unit.server.small_engine import until


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
            await until(lambda a=a: len(a.seen) == 1)
            await asyncio.sleep(0.05)
            assert a.left == 0  # while it stays, the upstream works on
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            await until(lambda a=a: a.left == 1, seconds=1)


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
        await until(lambda: total > 0)
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
                await until(lambda number=number: a.left == number + 1)
        a.behaviour = completion()
        assert (await client.post(CHAT, json=chat())).status_code == 200


async def test_a_client_that_leaves_while_it_is_told_of_the_break_is_no_error() -> None:
    client = Exchange(json.dumps(chat(stream=True)).encode(), path=CHAT)

    async def send(message: Message) -> None:
        if b'"error"' in message.get("body", b""):
            client.gone.set()
            await asyncio.sleep(60)  # it takes no more of it

    async with upstream(stream(CHUNK, whole=False)) as a, asyncio.timeout(10):
        config = UpstreamConfig.model_validate(to(a.url))
        forward = Forward(Upstreams([Upstream(config, None)]), TimeoutsConfig())
        await forward(client.scope, client.receive, send)
    assert client.gone.is_set()
