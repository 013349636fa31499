"""An upstream on the loopback address that does what a test tells it, down to the bytes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"w"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
KEY = "sk-the-operators-own-key-0123456789"


@dataclass
class Seen:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


def raw(*pieces: bytes, pause: float = 0.0) -> Behaviour:
    """These bytes, with a pause between them; then the connection is closed."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(pause)
            writer.write(piece)
            await writer.drain()
        writer.close()

    return behave


def answer(status: int, body: bytes, *headers: str, length: int | None = None) -> Behaviour:
    size = len(body) if length is None else length
    lines = [
        f"HTTP/1.1 {status} Whatever",
        *(headers or ("content-type: application/json",)),
        f"content-length: {size}",
        "connection: close",  # or the proxy might ask again on what is just being closed
    ]
    return raw("\r\n".join([*lines, "", ""]).encode() + body)


def completion(text: str = "Paris") -> Behaviour:
    return answer(200, json.dumps({"choices": [{"message": {"content": text}}]}).encode())


def as_asked(up: "Upstream") -> Behaviour:
    """Whole or streamed, as each request asks."""

    def behave(writer: asyncio.StreamWriter) -> Awaitable[None]:
        if up.seen[-1].json.get("stream") is True:
            kind, body = "text/event-stream", CHUNK + DONE
        else:
            kind, body = "application/json", b'{"choices": [{"message": {"content": "Paris"}}]}'
        return answer(200, body, f"content-type: {kind}", "connection: close")(writer)

    return behave


def chunked(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def stream(*pieces: bytes, pause: float = 0.0, whole: bool = True) -> Behaviour:
    """A chunked stream; one that is not whole is cut instead of ended."""
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    return raw(head, *chunks, *([b"0\r\n\r\n"] if whole else []), pause=pause)


def hang() -> Behaviour:
    """No answer, until its client goes."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    return behave


def endless(pause: float = 0.01, piece: bytes = CHUNK, *begin: bytes) -> Behaviour:
    """One piece after the other; begin: what comes before, where it is not a stream's head."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
        writer.writelines(begin or [head])
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return behave


def listing(*names: str) -> Behaviour:
    listed = {"object": "list", "data": [{"id": name} for name in names]}
    return answer(200, json.dumps(listed).encode())


@dataclass
class Upstream:
    url: str = ""
    behaviour: Behaviour = field(default_factory=completion)
    models: Behaviour = field(default_factory=lambda: listing("m"))
    seen: list[Seen] = field(default_factory=list[Seen])
    """The POSTs that came."""
    looks: int = 0
    """The GETs."""
    left: int = 0
    """Connections that were closed while it answered."""
    sent: int = 0


async def _request(reader: asyncio.StreamReader) -> tuple[str, Seen]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {
        n.strip().lower(): v.strip() for n, _, v in (li.partition(":") for li in lines if li)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return method, Seen(path, headers, body)


@asynccontextmanager
async def upstream(
    behaviour: Behaviour | None = None, models: Behaviour | None = None
) -> AsyncIterator[Upstream]:
    made = Upstream()
    made.behaviour, made.models = behaviour or made.behaviour, models or made.models
    conversations: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        try:
            method, seen = await _request(reader)
            if method == "GET":
                made.looks += 1
                await made.models(writer)
                return
            made.seen.append(seen)
            behaving = asyncio.ensure_future(made.behaviour(writer))
            gone = asyncio.ensure_future(reader.read())
            await asyncio.wait({behaving, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not behaving.done() or behaving.exception():
                made.left += 1
            for each in (behaving, gone):
                each.cancel()
            await asyncio.gather(behaving, gone, return_exceptions=True)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            conversations.discard(task)

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield made
    finally:
        server.close()
        for each in list(conversations):
            each.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
