"""The way of a request through the proxy, from its body's last byte to its answer's.

Promises: the body is read once and forwarded as it came, but for a model's other name; another
upstream is asked only while nothing has reached the client, and at most once each; a client that
leaves ends the upstream's work at once; a stream that breaks says so in its last event. Of the
client's headers and the upstream's, only those named here pass.
"""

import asyncio
import logging
import time
from contextlib import suppress

from llmservice_server.config import TimeoutsConfig
from llmservice_server.engines.proxy import failure
from llmservice_server.engines.proxy.body import BodyError, model_in, model_of, renamed
from llmservice_server.engines.proxy.connection import Answer, BrokenError
from llmservice_server.engines.proxy.dial import UnreachableError
from llmservice_server.engines.proxy.events import Events, error_event
from llmservice_server.engines.proxy.failure import Failure
from llmservice_server.engines.proxy.upstream import Upstream
from llmservice_server.engines.proxy.upstreams import Upstreams
from llmservice_server.engines.proxy.watch import Watch, Why
from llmservice_server.gateway.asgi import Headers, Message, Receive, Scope, Send
from llmservice_server.gateway.sanitize import document_of

ROUTES = {
    "/v1/chat/completions": "Chat, streamed or whole",
    "/v1/completions": "Text completion, streamed or whole",
    "/v1/responses": "Responses, streamed or whole",
    "/v1/embeddings": "Embeddings of texts",
    "/v1/moderations": "Whether texts are harmful",
    "/v1/rerank": "Documents by their relevance to a query",
    "/v1/score": "How alike texts are",
    "/v1/images/generations": "Images by description",
    "/v1/audio/speech": "Speech of a text",
}
"""What is forwarded. Routes that spend or keep more than an answer (files, batches) are not."""

# Of the request. The client's authorization is meant for us, its cookies and addresses for nobody.
_PASS_UP = frozenset(
    {
        *(b"accept", b"x-request-id", b"traceparent", b"tracestate", b"idempotency-key"),
        *(b"openai-beta", b"anthropic-beta", b"anthropic-version"),
    }
)
# Of the answer. Cookies, and what tells of our account, stay here.
_PASS_DOWN = (b"content-type", b"content-encoding", b"content-disposition")
_WHOLE = 1 << 20  # bytes of an answer that are read before the first is sent
_REFUSAL = 1 << 16  # bytes of an upstream's error that are looked at
_STREAM_HEADERS: Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
_ATTEMPTS = 3
_BODY = "http.response.body"

_log = logging.getLogger("llmservice.upstream")


class _Left(Exception):  # noqa: N818  no error
    """The client did."""


class Forward:
    """An ASGI application for POSTs to ``ROUTES``."""

    def __init__(self, upstreams: Upstreams, timeouts: TimeoutsConfig) -> None:
        self._upstreams = upstreams
        self._timeouts = timeouts
        self._shortest = min(timeouts.first_byte_seconds, timeouts.idle_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        if body is None:
            return
        document = document_of(scope)
        try:
            model = model_of(body) if document is None else model_in(document)
        except BodyError as error:
            await failure.bad_request(str(error)).answer(send)
            return
        if not self._upstreams.serve(model):
            await self._unknown(model).answer(send)
            return
        watch = Watch(receive, self._shortest)
        try:
            found = await self._ask_in_turn(_Exchange(scope, send, watch, model, body))
        except BodyError as error:
            found = failure.bad_request(str(error))
        except asyncio.CancelledError:
            if watch.caught() is None:
                raise
            return  # the client left while it was told what went wrong
        except _Left:
            return
        finally:
            watch.end()
        if found is not None:
            await found.answer(send)

    def _unknown(self, model: str) -> Failure:
        if self._upstreams.all_listed:
            return failure.no_such_model(model, self._upstreams.names)
        return failure.unavailable("Not every upstream has told its models yet.", 2)

    async def _ask_in_turn(self, exchange: "_Exchange") -> Failure | None:
        """What to answer; None where an upstream's answer was forwarded."""
        asked: list[Upstream] = []
        found: Failure | None = None
        while len(asked) < _ATTEMPTS:
            upstream = self._upstreams.choose(exchange.model, asked)
            if upstream is None:
                break
            asked.append(upstream)
            found = await exchange.attempt(upstream, self._timeouts)
            if found is None or not found.again:
                return found
        if found is not None:
            return found
        seconds = self._upstreams.back_in(exchange.model)
        return failure.unavailable("No upstream of this model can be asked for now.", seconds)


class _Exchange:
    """One request, and its answer."""

    def __init__(self, scope: Scope, send: Send, watch: Watch, model: str, body: bytes) -> None:
        self.model = model
        self._path: str = scope["path"]
        self._given: list[tuple[bytes, bytes]] = scope["headers"]
        self._send = send
        self._watch = watch
        self._body = body
        self._begun = False  # whether the client was sent anything
        self._events = False  # and whether that is a stream

    async def attempt(self, upstream: Upstream, timeouts: TimeoutsConfig) -> Failure | None:
        """Ask one upstream. Returns what went wrong while nothing had been sent."""
        trial, told = upstream.begin(), False
        try:
            found = await self._ask(upstream, timeouts)
            told = True
        finally:
            upstream.end()
            if not told:
                upstream.breaker.abandoned(trial=trial)
        if found is not None and found.unwell:
            upstream.failed(found.code, trial=trial)
        else:
            upstream.breaker.succeeded()
        if found is None or not self._begun:
            return found
        await self._break_off(found)
        return None

    async def _ask(self, upstream: Upstream, timeouts: TimeoutsConfig) -> Failure | None:
        """What went wrong, before or after the first byte."""
        body = self._body
        if (name := upstream.models[self.model]) != self.model:
            body = renamed(body, name)
        answer: Answer | None = None
        try:
            self._watch.within(timeouts.first_byte_seconds)
            seconds = timeouts.connect_seconds
            answer = await upstream.post(self._path, self._fields(), body, seconds)
            await answer.begun()
            return await self._take(answer, upstream, timeouts)
        except asyncio.CancelledError:
            match self._watch.caught():
                case None:
                    raise
                case Why.GONE:
                    raise _Left from None
                case Why.LATE:
                    return failure.late("The upstream took too long.")
        except UnreachableError as error:
            _log.info("%s: %s", upstream.name, error)
            return failure.unavailable("The upstream cannot be reached.")
        except BrokenError as error:
            _log.info("%s: %s", upstream.name, error)
            return failure.broken("The upstream broke its answer off.")
        finally:
            if answer is not None:
                answer.close()

    def _fields(self) -> bytes:
        """The lines of the client's head that go on."""
        given = {name: value for name, value in self._given if name in _PASS_UP}
        given.setdefault(b"accept", b"*/*")
        return b"".join([b"%b: %b\r\n" % pair for pair in given.items()])

    async def _take(
        self, answer: Answer, upstream: Upstream, timeouts: TimeoutsConfig
    ) -> Failure | None:
        until = time.monotonic() + timeouts.first_byte_seconds
        if not 200 <= answer.status < 300:
            told = await _beginning(answer)
            found = failure.refused(answer.status, answer.headers, told, upstream.key)
            if answer.status == 429:
                upstream.limited(found.retry_after)
            return found
        piece = await answer.piece()
        if piece:
            upstream.breaker.succeeded()  # not only at a long stream's end
        self._watch.within(timeouts.idle_seconds)
        kind = answer.headers.get(b"content-type", b"")
        if b"content-encoding" in answer.headers:
            kind = b""  # although it was asked for none: bytes that cannot be looked into
        if kind.startswith(b"text/event-stream"):
            return await self._stream(answer, piece)
        return await self._whole(answer, piece, kind, until)

    async def _stream(self, answer: Answer, piece: bytes) -> Failure | None:
        if not piece:
            return failure.broken("The upstream's stream has nothing in it.")
        self._begun = self._events = True
        await self._give(
            {"type": "http.response.start", "status": 200, "headers": [*_STREAM_HEADERS]}
        )
        events = Events(self._path)
        while piece:  # which alone is no progress: an event has to be whole in time
            if whole := events.whole(piece):
                await self._give({"type": _BODY, "body": whole, "more_body": True})
            piece = await answer.piece()
        rest = events.rest()
        if not events.complete:
            return failure.broken("The upstream ended the stream before its end.")
        await self._give({"type": _BODY, "body": rest})
        return None

    async def _whole(
        self, answer: Answer, piece: bytes, kind: bytes, until: float
    ) -> Failure | None:
        """An answer up to a size is read to its end first, so that it comes whole or not at all."""
        pieces, size = [piece], len(piece)
        while size <= _WHOLE and not answer.ended:
            pieces.append(piece := await answer.piece())
            size += len(piece)
            self._watch.arrived()
            if time.monotonic() > until:
                return failure.late("The upstream took too long.")
        body, ended = b"".join(pieces), answer.ended
        if kind.startswith(b"text/html") or (
            kind.startswith(b"application/json") and not _like_json(body, ended=ended)
        ):
            return failure.broken("The upstream's answer is not JSON.")
        headers = [(name, value) for name in _PASS_DOWN if (value := answer.headers.get(name))]
        length = b"%d" % size if ended else answer.headers.get(b"content-length")
        if length:
            headers.append((b"content-length", length))
        self._begun = True
        await self._give(
            {"type": "http.response.start", "status": answer.status, "headers": headers}
        )
        await self._give({"type": _BODY, "body": body, "more_body": not ended})
        while not ended:
            piece = await answer.piece()
            self._watch.arrived()
            ended = answer.ended
            await self._give({"type": _BODY, "body": piece, "more_body": not ended})
        return None

    async def _give(self, message: Message) -> None:
        """To the client, which may be slow; that is not the upstream's fault."""
        self._watch.held = True
        await self._send(message)
        self._watch.held = False
        self._watch.arrived()

    async def _break_off(self, found: Failure) -> None:
        # An answer that is no stream cannot say it: left unfinished, its connection is cut.
        if self._events:
            await self._send({"type": _BODY, "body": error_event(found)})


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None where the client left."""
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _beginning(answer: Answer) -> bytes:
    """Of a refusal, as far as it comes."""
    found = b""
    with suppress(BrokenError):
        while len(found) < _REFUSAL and not answer.ended:
            found += await answer.piece()
    return found


def _like_json(body: bytes, *, ended: bool) -> bool:
    """By its first and last byte: enough to tell a page or half an answer, and costs nothing."""
    text = body.strip()
    return text[:1] in {b"{", b"["} and (not ended or text[-1:] in {b"}", b"]"})
