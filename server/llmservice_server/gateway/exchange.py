"""One request and its answer, watched once for all who tell of it: metrics, the access log, spans.

The only layer that costs per chunk: it notes the time of the first one, counts events and keeps the
last few chunks, where a stream says how many tokens it took. A body is never kept longer than its
exchange.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from llmservice_server.gateway.asgi import App, Message, Receive, Scope, Send
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.route_table import template
from llmservice_server.gateway.usage import Usage, usage_of

CLIENT_GONE = 499  # nginx's, of a client that left before there was any answer
_LAST = 8  # bodies: the events at a stream's end, also where a proxy cuts them anywhere
_ERROR = b'data: {"error"'  # an event, in a stream that began with 200
_EVENT, _CRLF_EVENT = b"\n\n", b"\r\n\r\n"  # their ends
_ENDED = "ended"  # in the scope's state: who is to be told
_BY_STATUS: Mapping[int, str] = MappingProxyType(
    {
        401: "unauthorized",
        403: "forbidden",
        404: "not_found",
        408: "timeout",
        413: "too_large",
        429: "rate_limited",
        CLIENT_GONE: "client_gone",
        503: "unavailable",
        504: "timeout",
    }
)
CATEGORIES = frozenset({*_BY_STATUS.values(), "invalid_request", "internal", "cut", "stream_error"})
"""What an error can be; a rate limit is the client's, what is unavailable is ours."""


class Exchange:
    """What is known of it so far; times are of the performance counter, in seconds."""

    __slots__ = (
        *("began", "complete", "ended", "events", "first", "gone", "last", "method", "model"),
        "notes",
        *("route", "scope", "started", "status", "streaming", "trace_id", "usage"),
    )

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.route = template(scope["path"])
        self.began = self.ended = time.perf_counter()
        self.first: float | None = None
        self.started = self.streaming = self.complete = self.gone = False
        self.status = 500  # what uvicorn answers to an exception
        self.last: deque[bytes] = deque(maxlen=_LAST)
        self.events = 0
        """Of a stream, as many as were sent."""
        self.usage: Usage | None = None
        self.model: str | None = None
        """Where it was routed to, by a name that is served; see `routed`."""
        self.trace_id: str | None = None
        """By which a collector finds it, if one gets it."""
        self.notes: dict[object, Any] = {}
        """What an observer keeps of it, by the observer."""

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def first_token_seconds(self) -> float | None:
        """Of a stream, to the first byte of its body."""
        return None if self.first is None or not self.streaming else self.first - self.began

    @property
    def seconds_a_token(self) -> float | None:
        """Of a whole stream, the mean time between two of its tokens."""
        if self.first is None or self.usage is None or not (self.streaming and self.complete):
            return None
        between = self.usage.output_tokens - 1
        return (self.ended - self.first) / between if between > 0 else None

    @property
    def error(self) -> str | None:
        """One of ``CATEGORIES``; None where all went well."""
        if self.gone:
            return "client_gone"
        if self.status >= 400:
            usual = "internal" if self.status >= 500 else "invalid_request"
            return _BY_STATUS.get(self.status, usual)
        if not self.complete:
            return "cut"
        return "stream_error" if self.streaming and _ERROR in b"".join(self.last) else None


class Observer(Protocol):
    """Told when an exchange begins, before anything is done for it, and when it has ended."""

    def begins(self, exchange: Exchange) -> None: ...

    def ends(self, exchange: Exchange) -> None: ...


def when_ended(scope: Scope, tell: Callable[[Exchange], None]) -> None:
    """Have a layer below told once of the exchange of this request, when it has ended."""
    scope.setdefault("state", {}).setdefault(_ENDED, []).append(tell)


class Exchanges:
    """The layer; made with what makes its observers."""

    def __init__(
        self,
        app: App,
        context: Context,
        observers: tuple[Callable[[Context], Observer | None], ...],
    ) -> None:
        self._app = app
        self._observers = tuple(made for make in observers if (made := make(context)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope)
        state = scope.setdefault("state", {})
        for observer in self._observers:
            observer.begins(exchange)
        try:
            await self._app(scope, _heard(exchange, receive), _watched(exchange, send))
        finally:
            exchange.ended = time.perf_counter()
            # What a GET brings was computed before, as an old response, or is an example of /docs.
            computed = exchange.method == "POST" or exchange.streaming
            exchange.usage = usage_of(state, exchange.last if computed else ())
            exchange.model = state.get("model")
            if exchange.gone and not exchange.started:
                exchange.status = CLIENT_GONE
            for observer in self._observers:
                observer.ends(exchange)
            for tell in state.get(_ENDED, ()):
                tell(exchange)


def _watched(exchange: Exchange, send: Send) -> Send:
    keep = exchange.last.append

    async def watched_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            _start(exchange, message)
            await send(message)
            return
        if body := message.get("body"):
            if exchange.first is None:
                exchange.first = time.perf_counter()
            if exchange.streaming:
                exchange.events += body.count(_EVENT) + body.count(_CRLF_EVENT)
            keep(body)
        await send(message)
        if not message.get("more_body") and message["type"] == "http.response.body":
            exchange.complete = not exchange.gone

    return watched_send


def _heard(exchange: Exchange, receive: Receive) -> Receive:
    async def heard_receive() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect" and not exchange.complete:
            exchange.gone = True
        return message

    return heard_receive


def _start(exchange: Exchange, message: Message) -> None:
    exchange.started, exchange.status = True, message["status"]
    exchange.streaming = any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in message.get("headers", ())
    )
