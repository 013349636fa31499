"""An upstream that answers at once, and streams at a set pace: python -m bench.server.upstream PORT

A protocol of asyncio's and no framework, so that it costs a fraction of what is measured before it.
Of a stream's events each says when it was sent, by the machine's monotonic clock.
"""

import argparse
import asyncio
import json
import re
import time
from typing import cast

import uvloop

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TOKENS = re.compile(rb'"max_tokens": *(\d+)')
_STREAM = re.compile(rb'"stream": *true')
_CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "bench",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "The capital of France is Paris."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 30, "completion_tokens": 8, "total_tokens": 38},
}
_EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench",'
    b'"choices":[{"index":0,"delta":{"content":"%d"},"finish_reason":null}]}\n\n'
)
_LAST = b"data: [DONE]\n\n"
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def _whole(answer: object) -> bytes:
    body = json.dumps(answer).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


_ANSWER = _whole(_CHAT)
_MODELS = _whole({"object": "list", "data": [{"id": "bench", "object": "model", "created": 1}]})


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class _Upstream(asyncio.Protocol):
    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._heard = b""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport
        self._left, self._next = 0, 0.0  # of the stream: events, and the time of the next one

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while (end := self._heard.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._heard, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._heard) < whole:
                return
            head, body = self._heard[:end], self._heard[end + 4 : whole]
            self._heard = self._heard[whole:]
            self._answer(head, body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._left = 0

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            self._transport.write(_MODELS)
        elif _STREAM.search(body):
            tokens = _TOKENS.search(body)
            self._left = int(tokens[1]) if tokens else 16
            self._next = self._loop.time()
            self._transport.write(_STREAM_HEAD)
            self._tell()
        else:
            self._transport.write(_ANSWER)

    def _tell(self) -> None:
        while self._left > 0:
            self._left -= 1
            event = _chunk(_EVENT % time.monotonic_ns())
            if not self._left:
                self._transport.write(event + _chunk(_LAST) + _chunk(b""))
            else:
                self._transport.write(event)
                if self._pace:
                    self._next += self._pace
                    self._loop.call_at(self._next, self._tell)
                    return


async def _serve(port: int, pace: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Upstream(pace), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--pace", type=float, default=0, help="seconds between two events")
    chosen = parser.parse_args()
    uvloop.run(_serve(chosen.port, chosen.pace))
