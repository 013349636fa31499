"""The application below the layers, called in process as an HTTP server would call it.

Promises: a call passes no layer a second time; what the application answers goes on as it comes,
message by message, at the pace of who takes it, or is kept until it is whole, up to a bound; a
caller that leaves is told to the application, which ends its work itself. What the application
raises is logged, and answered with 500 where no answer has begun.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmservice_server.error_shapes import openai_error
from llmservice_server.gateway.asgi import App, Headers, Message, Receive, Scope, Send, answer_error

LONGEST = 1 << 24
"""Bytes of an answer that is kept until it is whole: more than any model writes."""
_TOO_LONG = openai_error("engine_error", "The engine's answer is too long.")

_log = logging.getLogger("llmservice.in_process")


class Enough(Exception):  # noqa: N818
    """Raised by who takes an answer and wants no more of it; the work on it ends."""


@dataclass(frozen=True)
class Call:
    """A request of ours; a body is sent as JSON."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers
    body: bytes


class InProcess:
    """Knows the application once the gateway is made, and its lifespan once it has started."""

    def __init__(self) -> None:
        self._app: App | None = None
        self._lifespan: Scope = {}

    def is_of(self, app: App) -> None:
        self._app = app

    def lives_in(self, lifespan: Scope) -> None:
        """What a framework keeps in its lifespan scope, it looks for in each request's too."""
        self._lifespan = lifespan

    async def send(self, call: Call, send: Send, gone: asyncio.Event | None = None) -> None:
        """Hand each message of the answer to ``send``; ``gone`` is set when the caller leaves."""
        if self._app is None:
            raise RuntimeError("called before the gateway was made")
        content = b"" if call.body is None else json.dumps(call.body).encode()
        begun = complete = False

        async def send_and_watch(message: Message) -> None:
            nonlocal begun, complete
            begun = True
            await send(message)
            complete = message["type"] == "http.response.body" and not message.get("more_body")

        try:
            receive = _receive(content, gone or asyncio.Event())
            await self._app(_scope(self._lifespan, call, content), receive, send_and_watch)
        except Enough:
            return
        except Exception:
            _log.exception("%s %s raised", call.method, call.path)
            if complete:
                return  # as frameworks do, which answer with 500 and raise for the server's log
            if begun:
                raise
            message = "The engine failed at this request; its log says why."
            await answer_error(send, 500, "internal_server_error", message)

    async def ask(self, call: Call, gone: asyncio.Event | None = None) -> Answer:
        """The whole answer; status 0 where none was given, as to a caller that left.

        One that has no end, as a hostile upstream's, is a fault of the engine.
        """
        status, headers, body = 0, list[tuple[bytes, bytes]](), bytearray()

        async def keep(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers.extend(message.get("headers", ()))
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                if len(body) > LONGEST:
                    raise Enough

        await self.send(call, keep, gone)
        if len(body) > LONGEST:
            return Answer(502, (), json.dumps(_TOO_LONG).encode())
        return Answer(status, headers, bytes(body))


def _scope(lifespan: Scope, call: Call, content: bytes) -> Scope:
    json_body = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    return {
        **lifespan,
        "state": dict(lifespan.get("state", {})),  # what one request notes is not another's
        "type": "http",
        # Below 2.4 frameworks look for a client that left where it is told, in receive.
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": call.path,
        "raw_path": call.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"localhost"),
            *(json_body if call.body is not None else ()),
            *call.headers,
        ],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }


def _receive(content: bytes, gone: asyncio.Event) -> Receive:
    request = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def receive() -> Message:
        for message in request:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive
