"""A whole answer, as it is kept, as it travels to Redis and back, and as it is given again.

Promises that what comes back from Redis is what was sent there, or nothing; that a stream is given
again as a stream, in pieces of whole events and none before its client has read those before it.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from llmservice_server.gateway.asgi import Headers, Send

_STREAM = b"text/event-stream"
# What an answer is without which it is another one; the rest is of one exchange, or of a layer.
_KEPT = frozenset(
    {
        *(b"content-type", b"content-encoding", b"content-disposition"),
        *(b"cache-control", b"x-accel-buffering"),
    }
)
_FORM = 1  # of what is in Redis; another version's is not read
_PIECE = 1 << 14
_ENDS = (b"\n\n", b"\r\n\r\n")
_OVERHEAD = 500  # bytes of an answer beside its body, with its place on a shelf


class Recorded(NamedTuple):
    """``made``: when it was whole, in seconds since the epoch."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    made: int

    @property
    def streams(self) -> bool:
        return any(n == b"content-type" and v.startswith(_STREAM) for n, v in self.headers)

    @property
    def size(self) -> int:
        return len(self.body) + _OVERHEAD

    def packed(self) -> bytes:
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers
        ]
        head = json.dumps([_FORM, self.status, self.made, len(self.body), headers])
        return b"%b\n%b" % (head.encode(), self.body)


def kept_headers(headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """Those that are given again."""
    lower = ((name.lower(), value) for name, value in headers)
    return tuple(pair for pair in lower if pair[0] in _KEPT)


def unpacked(packed: bytes) -> Recorded | None:
    """None of what this version has not packed, or what is not whole."""
    head, _, body = packed.partition(b"\n")
    try:
        form, status, made, length, headers = json.loads(head)
        if form != _FORM or length != len(body):
            return None
        pairs = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
    except (ValueError, TypeError, AttributeError):
        return None
    return Recorded(status, pairs, body, made)


async def give(recorded: Recorded, send: Send, extra: Headers = ()) -> None:
    """Answer with it, and with these headers."""
    streams, body = recorded.streams, recorded.body
    length = () if streams else ((b"content-length", b"%d" % len(body)),)
    headers = [*recorded.headers, *length, *extra]
    start = {"type": "http.response.start", "status": recorded.status, "headers": headers}
    await send(start)
    for piece in _pieces(body) if streams else ():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"" if streams else body})


def _pieces(body: bytes) -> Iterator[bytes]:
    """Whole events, several where they are short, and one that is long in several pieces."""
    start = 0
    while start < len(body):
        most = start + _PIECE
        ends = [at + len(m) for m in _ENDS if (at := body.rfind(m, start, most)) >= 0]
        end = len(body) if most >= len(body) else max(ends, default=most)
        yield body[start:end]
        start = end
