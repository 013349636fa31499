"""What reaches the engine is small enough, whole, well formed, and does not speak past the gateway.

Promises for each request with a body: it is read within the deadline and the bound, its bytes are
counted until it is answered, and JSON is checked before any other parser sees it (`json_body`).
Headers and fields with which a client would direct the engine itself are taken out; a body without
them passes as the bytes that came. What the body says is noted in the scope, where it is a JSON
object (`document_of`): layers below read it and change nothing of it. Nothing is done per chunk of
an answer.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from llmservice_server.gateway.asgi import (
    App,
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    again,
    answer_error,
    answer_nobody,
)
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.deadline import Deadline
from llmservice_server.gateway.form import fields_of
from llmservice_server.gateway.json_body import parsed
from llmservice_server.gateway.routed import note_model

# With these a client would jump vLLM's queue, choose its process, share another's cached prompts,
# direct KV transfers, or set options that no API documents.
_INTERNAL_PREFIX, _INTERNAL_HEADER = b"x-vllm-", b"x-data-parallel-rank"
_INTERNAL_FIELDS = frozenset(
    {"priority", "kv_transfer_params", "ec_transfer_params", "vllm_xargs", "cache_salt"}
)

_BODIES = 16  # bodies of the greatest size, or as many bytes of smaller ones, are held at once
_LINGER = 5.0  # seconds in which a client that still sends can see that it is refused
_CLOSE = (b"connection", b"close")
_RETRY_AFTER = (b"retry-after", b"2")


_DOCUMENT = "document"  # in the scope's state


def document_of(scope: Scope) -> Mapping[str, Any] | None:
    """What the body says, without what is not for clients; None where it is no JSON object."""
    return cast("Mapping[str, Any] | None", scope.get("state", {}).get(_DOCUMENT))


def replaced(
    scope: Scope, receive: Receive, body: bytes, document: Mapping[str, Any]
) -> tuple[Scope, Receive]:
    """The request with this body in place of its own, which is received whole with this."""
    scope = _with_length(scope, len(body))
    scope.setdefault("state", {})[_DOCUMENT] = document
    first = again(_whole(body), receive)
    own = True

    async def receive_replaced() -> Message:
        nonlocal own
        if own and (message := await receive())["type"] != "http.request":
            return message
        own = False
        return await first()

    return scope, receive_replaced


class _Refused(Exception):  # noqa: N818  the client's fault, or nobody's
    def __init__(
        self, status: int, kind: str, message: str, *, unread: bool, headers: Headers = ()
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message
        self.unread, self.headers = unread, headers


class _Left(Exception):  # noqa: N818
    """The client left before its request was whole."""


class Sanitize:
    def __init__(self, app: App, context: Context) -> None:
        self._app = app
        self._http, self._engine = context.config.http, context.engine
        self._held = 0  # bytes of the bodies of all requests that are not yet answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        head = _Head(scope)
        if head.internal:
            scope = _with_headers(scope, [p for p in scope["headers"] if not _internal(p[0])])
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        chunks: list[bytes] = []
        try:
            self._check(head)
            if head.has_body:
                await self._read(receive, chunks)
                body, document = await _clean(scope, chunks[0], head)
                if document is not None:
                    scope.setdefault("state", {})[_DOCUMENT] = document
                    note_model(scope, self._engine, document.get("model", ""))
                if body is not chunks[0]:
                    scope = _with_length(scope, len(body))
                receive = again(_whole(body), receive)
        except _Refused as refused:
            await _refuse(refused, receive, send)
        except _Left:
            await answer_nobody(send)
        else:
            await self._app(scope, receive, send)
        finally:
            self._held -= sum(map(len, chunks))

    def _check(self, head: "_Head") -> None:
        if head.size > self._http.max_header_bytes:
            kind, most = "request_header_fields_too_large", self._http.max_header_bytes
            message = f"The request's headers are larger than {most} bytes; send fewer."
            raise _Refused(431, kind, message, unread=head.has_body)
        if head.ambiguous:
            message = "The request is not clear about what its body is or where it ends."
            raise _Refused(400, "invalid_request_error", message, unread=head.has_body)
        if head.length > self._http.max_body_bytes:
            raise self._too_large()
        if head.has_body and not (head.is_json or head.is_form):
            message = "The body's type is not served; send application/json."
            raise _Refused(415, "unsupported_media_type", message, unread=True)

    async def _read(self, receive: Receive, chunks: list[bytes]) -> None:
        """The whole body as one chunk; what is in chunks is counted, whatever happens here."""
        left, seconds = self._http.max_body_bytes, self._http.body_seconds
        try:
            with Deadline(seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Left
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    chunks.append(chunk)
                    self._held += len(chunk)
                    left -= len(chunk)
                    if left < 0:
                        raise self._too_large()
                    if self._held > _BODIES * self._http.max_body_bytes:
                        message = "The server holds too many large requests; send it again later."
                        headers = [_RETRY_AFTER]
                        kind = "service_unavailable"
                        raise _Refused(503, kind, message, unread=more, headers=headers)
        except TimeoutError:
            message = f"The request's body did not come within {seconds} s; send it faster."
            headers = [_CLOSE]  # and read no more of it
            raise _Refused(408, "request_timeout", message, unread=False, headers=headers) from None
        chunks[:] = [b"".join(chunks)]

    def _too_large(self) -> _Refused:
        most = self._http.max_body_bytes
        message = f"The request's body is larger than {most} bytes; send less."
        return _Refused(413, "payload_too_large", message, unread=True)


class _Head:
    """What a request's head says about its size and its body."""

    def __init__(self, scope: Scope) -> None:
        self.size = len(scope["path"]) + len(scope["query_string"])
        self.length, self.chunked = 0, False
        self.ambiguous = self.internal = False
        media_type, measures, types = b"application/json", 0, 0
        for name, value in scope["headers"]:
            self.size += len(name) + len(value)
            if name == b"content-length":
                measures += 1
                self.ambiguous |= not value.isdigit()
                self.length = int(value) if value[:19].isdigit() and len(value) < 20 else 2**63
            elif name == b"transfer-encoding":
                measures += 1
                self.ambiguous |= value.strip().lower() != b"chunked"
                self.chunked = True
            elif name == b"content-type":
                types += 1
                media_type = value.partition(b";")[0].strip().lower()
            elif _internal(name):
                self.internal = True
        self.ambiguous |= measures > 1 or types > 1
        self.has_body = self.chunked or self.length > 0
        self.is_json = media_type == b"application/json" or media_type.endswith(b"+json")
        self.is_form = media_type == b"multipart/form-data"


def _internal(name: bytes) -> bool:
    return name.startswith(_INTERNAL_PREFIX) or name == _INTERNAL_HEADER


async def _check_form(scope: Scope, body: bytes) -> None:
    """Raises _Refused: it cannot be read, or names what is not for clients."""
    try:
        named = {name for name, _ in await fields_of(scope, body)}
    except ValueError:
        message = "The body is not a form that can be read."
        raise _Refused(400, "invalid_request_error", message, unread=False) from None
    for field in sorted(named & _INTERNAL_FIELDS):
        message = f"The field {field} is not for clients; remove it."
        raise _Refused(400, "invalid_request_error", message, unread=False)


async def _clean(scope: Scope, body: bytes, head: _Head) -> tuple[bytes, Mapping[str, Any] | None]:
    """The body without internal fields, the same object where it has none; and what it says.

    Raises:
        _Refused: it cannot be served.
    """
    if not body:
        return body, None
    if head.is_form:
        await _check_form(scope, body)
        return body, None
    try:
        document = parsed(body)
    except ValueError as error:
        message = f"The body is not JSON that can be served: {error}."
        raise _Refused(400, "invalid_request_error", message, unread=False) from None
    if not isinstance(document, dict):
        return body, None
    fields = cast("dict[str, Any]", document)
    if _INTERNAL_FIELDS.isdisjoint(fields):
        return body, fields
    kept = {name: value for name, value in fields.items() if name not in _INTERNAL_FIELDS}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode(), kept


def _with_length(scope: Scope, length: int) -> Scope:
    measures = {b"content-length", b"transfer-encoding"}
    others = [pair for pair in scope["headers"] if pair[0] not in measures]
    return _with_headers(scope, [*others, (b"content-length", str(length).encode())])


def _with_headers(scope: Scope, headers: list[tuple[bytes, bytes]]) -> Scope:
    return {**scope, "headers": headers}


def _whole(body: bytes) -> Message:
    return {"type": "http.request", "body": body, "more_body": False}


async def _refuse(refused: _Refused, receive: Receive, send: Send) -> None:
    """Answer; read on where the body is unread, since closing would take the answer away."""
    if not refused.unread:
        await answer_error(send, refused.status, refused.kind, refused.message, refused.headers)
        return

    async def send_unfinished(message: Message) -> None:
        await send({**message, "more_body": True})

    headers = [*refused.headers, _CLOSE]
    await answer_error(send_unfinished, refused.status, refused.kind, refused.message, headers)
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER):
            while (await receive()).get("more_body"):
                pass
    await send({"type": "http.response.body", "body": b""})
