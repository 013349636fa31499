"""Connections that a client cannot hold open for nothing: uvicorn's protocol with deadlines.

uvicorn waits for ever for the rest of a head, bounds neither a head nor the number of connections,
and keeps what it sends to a client that does not read. Promises: a head is whole within its
deadline and its size, a body ends soon after the gateway's own deadline; a client that takes
nothing for a minute is gone; beyond the bound on connections the one that has kept the server
waiting longest is closed, so that a new one, a probe's too, always gets in; a malformed request is
answered in OpenAI's shape, and never into the middle of another answer; what is ended here, where
no layer sees a request, is counted and logged by why.

Of uvicorn it overrides what `OVERRIDDEN` names: asyncio's and httptools' own callbacks, and two of
its methods. A request costs a few dictionary operations; a chunk of an answer costs nothing.
"""

import asyncio
import http as statuses
import importlib
import json
import logging
import resource
import sys
from collections import OrderedDict
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from llmservice_server.config import HttpConfig
from llmservice_server.error_shapes import openai_error
from llmservice_server.gateway.metrics import connections_ended

UVICORN = ("uvicorn.protocols.http.auto", "AutoHTTPProtocol")
"""What uvicorn makes its connections of, unless its caller names something else."""
OVERRIDDEN = (
    *("connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing"),
    *("on_message_begin", "on_header", "on_headers_complete"),
    *("on_body", "on_message_complete"),
    *("on_response_complete", "send_400_response"),
)

_STALLED = 60.0  # seconds without a byte taken, of an answer larger than all buffers on the way
_LATER = 10.0  # seconds after the gateway's own deadline for a body, which answers
_LINGER = 2.0  # seconds in which a client that still sends can see that it is refused
_SMALL = 1 << 14  # bytes that cost less to copy than to send from where they are
_FILES = 0.75  # the share of the process's open files that connections may be

_log = logging.getLogger("llmservice.connections")


class _Part(Enum):
    NONE = "none"
    HEAD = "head"
    BODY = "body"
    REFUSED = "refused"


def guard_uvicorn(http: HttpConfig) -> None:
    """From now on every uvicorn of this process that chooses its protocol itself is guarded."""
    module, name = UVICORN
    try:
        auto: Any = importlib.import_module(module)
        setattr(auto, name, guarded(getattr(auto, name), http))
    except (ImportError, AttributeError) as error:
        _log.warning("slow clients may hold connections open: %s", error)


def guarded(protocol: type[Any], http: HttpConfig) -> type[Any]:
    """The protocol, uvicorn's on httptools, with these bounds.

    Raises:
        AttributeError: it is another one.
    """
    for name in OVERRIDDEN:
        getattr(protocol, name)
    return type("Guarded", (_Guard, protocol), {"bounds": http, "patient": OrderedDict()})


if TYPE_CHECKING:

    class _Uvicorn(asyncio.Protocol):
        """What is used of uvicorn's protocol."""

        loop: asyncio.AbstractEventLoop
        transport: asyncio.Transport
        connections: set[object]
        cycle: Any

        def on_message_begin(self) -> None: ...
        def on_header(self, name: bytes, value: bytes) -> None: ...
        def on_headers_complete(self) -> None: ...
        def on_body(self, body: bytes) -> None: ...
        def on_message_complete(self) -> None: ...
        def on_response_complete(self) -> None: ...

else:
    _Uvicorn = object


class _Guard(_Uvicorn):
    bounds: HttpConfig
    patient: "OrderedDict[_Guard, None]"  # those that wait for their clients, the longest first

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._part = _Part.NONE
        self._size = 0  # bytes of a line that has not ended
        self._moved = False  # whether the last bytes were of a body
        self._unanswered = 0  # requests that came whole
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        super().connection_made(cast("asyncio.Transport", _Joining(transport, self.loop)))
        self.patient[self] = None
        self._expect(self.bounds.header_seconds)
        if len(self.connections) > min(self.bounds.max_connections, _open_files()):
            self._make_room()

    def give_up(self) -> None:
        """End the connection at once if an answer is under way, which its client sees is cut."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.patient.pop(self, None)
        self._expect(None)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._part is _Part.REFUSED:
            return
        before, self._moved = self._part, False
        super().data_received(data)
        if self not in self.patient or self.transport.is_closing():
            return
        self._size = 0 if self._moved or self._part is not before else self._size + len(data)
        if self._size > self.bounds.max_header_bytes:
            self._too_large()
        if self._deadline is None:
            body = self._part is _Part.BODY
            bounds = self.bounds
            self._expect(bounds.body_seconds + _LATER if body else bounds.header_seconds)

    def on_message_begin(self) -> None:
        self._part = _Part.HEAD
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._part is _Part.HEAD:  # trailers are no headers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._part = _Part.BODY
        self._expect(None)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._part = _Part.NONE
        self._unanswered += 1
        if self._unanswered > 0:
            self.patient.pop(self, None)
            self._expect(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._unanswered -= 1
        if self._unanswered <= 0:
            self.patient[self] = None
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        _ended("malformed")
        self._refuse(400, "invalid_request_error", msg)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(_STALLED, self._stalls)

    def resume_writing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def _expect(self, seconds: float | None) -> None:
        """The next part within these seconds; None: nothing is expected of the client."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self._too_late)

    def _stalls(self) -> None:
        _ended("stalled")
        self.transport.abort()

    def _too_late(self) -> None:
        self._deadline = None
        if self._part is not _Part.REFUSED:  # or that was counted
            _ended("too_late")
        if self._part is _Part.HEAD:
            self._refuse(408, "request_timeout", "The request's head did not come in time.")
        else:
            self.transport.abort()

    def _too_large(self) -> None:
        _ended("too_large")
        if self._part is _Part.HEAD:
            message = f"The request's headers are larger than {self.bounds.max_header_bytes} bytes."
            self._refuse(431, "request_header_fields_too_large", message)
        else:
            self.transport.abort()  # a trailer, or what only pretends to be a chunk

    def _make_room(self) -> None:
        longest = next(iter(self.patient))
        if longest is not self:  # or all others are being answered, and admission bounds them
            del self.patient[longest]
            _ended("too_many")
            longest.transport.abort()

    def _refuse(self, status: int, kind: str, message: str) -> None:
        cycle = self.cycle
        if self._unanswered > 0 or (
            cycle and cycle.response_started and not cycle.response_complete
        ):
            self.transport.close()  # what would be sent would stand in another answer
            return
        self.transport.write(_answer(status, kind, message))
        if cycle and not cycle.response_complete:
            self.transport.close()  # so that the application hears of it
            return
        # To close while a client sends would take the answer away from it.
        self._part = _Part.REFUSED
        self._expect(_LINGER)
        if self.transport.can_write_eof():
            self.transport.write_eof()


class _Joining:
    """A transport that sends an answer's head together with what comes right after it.

    uvicorn writes them one after the other, each a system call and a packet; a head after which
    nothing comes in the same turn of the loop goes alone.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            if len(data) < _SMALL:
                self._transport.write(head + data)
            else:
                self._transport.writelines((head, data))
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)


def _ended(reason: str) -> None:
    connections_ended.labels(reason).inc()
    _log.info("ended a connection: %s", reason)


def _open_files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else int(_FILES * soft)


def _answer(status: int, kind: str, message: str) -> bytes:
    content = json.dumps(openai_error(kind, message), separators=(",", ":")).encode()
    lines = [
        f"HTTP/1.1 {status} {statuses.HTTPStatus(status).phrase}",
        "content-type: application/json",
        f"content-length: {len(content)}",
        "connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content
