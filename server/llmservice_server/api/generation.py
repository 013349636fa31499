"""A generation, whole or streamed, by the engine's OpenAI routes in process.

Promises: a prompt is completed as it is where the engine can do that, and is a user's message
where its providers only chat; the engine's refusals are raised, or answered before a stream
begins; each piece of a stream goes on as it comes; a client that leaves ends the engine's work;
tokens are the engine's count. Never: a prompt, an answer or a key in a log.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response

from llmservice_server.api.caller import departure, passed_on
from llmservice_server.api.errors import GoneError, RefusedError, refused, unreadable
from llmservice_server.api.fields import Usage
from llmservice_server.api.models import default_model
from llmservice_server.gateway.asgi import Message, Receive, Scope, Send
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.in_process import LONGEST, Answer, Call, Enough
from llmservice_server.gateway.routed import note_model

Fields = Mapping[str, Any]
Complete = Callable[[str], Awaitable[Fields]]
"""Told of the whole text of an answer before it is said to be complete; what else is said then.

Raises RefusedError where it is not complete for all that.
"""
_CHAT, _COMPLETE = "/v1/chat/completions", "/v1/completions"
_COMPLETING = frozenset({"vllm"})  # engines; a proxy's providers mostly only chat
_EVENT_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx holds streams back otherwise
]
_DONE = b"data: [DONE]\n\n"
_LONGEST_EVENT = 1 << 20  # bytes; a piece of an answer has some dozens
# What reading it raises, whatever an upstream says.
_NO_ANSWER = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Generated:
    text: str
    model: str
    finish_reason: str | None
    usage: Usage


async def prompt_call(context: Context, request: Request, prompt: str, wanted: Fields) -> Call:
    """Complete a prompt."""
    if context.config.engine.type in _COMPLETING:
        return await _call(_COMPLETE, context, request, {"prompt": prompt, **wanted})
    return await chat_call(context, request, [{"role": "user", "content": prompt}], wanted)


async def chat_call(
    context: Context, request: Request, messages: list[dict[str, str]], wanted: Fields
) -> Call:
    """Answer a conversation."""
    return await _call(_CHAT, context, request, {"messages": messages, **wanted})


async def _call(path: str, context: Context, request: Request, wanted: Fields) -> Call:
    """With the default model where none is named; what is None is the engine's to choose."""
    body = {name: value for name, value in wanted.items() if value is not None}
    if "model" not in body:
        body["model"] = await default_model(context, request)
    note_model(request.scope, context.engine, body["model"])
    return Call("POST", path, body, passed_on(request))


async def continued(context: Context, request: Request, prompt: str, wanted: Fields) -> Generated:
    """A prompt completed, for as long as its client waits; raises what ``generate`` does."""
    async with departure(request.receive) as gone:
        return await generate(context, await prompt_call(context, request, prompt, wanted), gone)


async def generate(context: Context, call: Call, gone: asyncio.Event) -> Generated:
    """The whole answer.

    Raises:
        RefusedError: in the engine's words.
        GoneError: the client left.
    """
    answer = await context.below.ask(call, gone)
    if gone.is_set():
        raise GoneError
    if answer.status != 200:
        raise refused(answer)
    try:
        document = json.loads(answer.body)
        (choice, *_) = document["choices"]
        message, reason = choice.get("message"), choice.get("finish_reason")
        return Generated(
            text=whole(choice["text"] if message is None else message["content"] or ""),
            model=whole(str(document.get("model") or (call.body or {})["model"])),
            finish_reason=None if reason is None else whole(str(reason)),
            usage=Usage.model_validate(document.get("usage") or {}),
        )
    except _NO_ANSWER:
        raise unreadable("completion") from None


def whole(text: str) -> str:
    """The text without halves of characters, which UTF-8 has not."""
    return text.encode(errors="replace").decode()


class EventStream(Response):
    """The engine's stream, each piece as an event with its text under ``key``.

    The last event has finish_reason, model and usage; ``[DONE]`` follows only where the engine
    ended the stream itself, so that one which was cut can be told from one that is complete.
    """

    def __init__(
        self, context: Context, call: Call, key: str, complete: Complete | None = None
    ) -> None:
        super().__init__()
        asked = {"stream": True, "stream_options": {"include_usage": True}}
        self._call = Call(call.method, call.path, {**(call.body or {}), **asked}, call.headers)
        self._context, self._key, self._complete = context, key, complete

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with departure(receive) as gone:
            translation = _Translation(self._key, keeps=self._complete is not None)
            relay = _Relay(send, translation, self._complete)
            await self._context.below.send(self._call, relay, gone)
            if relay.refused is not None and not gone.is_set():
                await refused(relay.refused).response()(scope, receive, send)


class _Relay:
    """The engine's messages: an event stream is translated, anything else kept as a refusal."""

    def __init__(self, send: Send, translation: "_Translation", complete: Complete | None) -> None:
        self._send, self._translation, self._complete = send, translation, complete
        self._status, self._body, self._streams, self._ended = 0, bytearray(), False, False
        self._headers: list[tuple[bytes, bytes]] = []
        self.refused: Answer | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message["status"], list(message.get("headers", ())))
        elif message["type"] == "http.response.body":
            body, more = message.get("body", b""), bool(message.get("more_body"))
            if self._streams:
                await self._translate(body, last=not more)
            else:
                self._keep(body, last=not more)

    async def _translate(self, body: bytes, *, last: bool) -> None:
        events, endless = self._translation.events(body, last), self._translation.endless
        if self._translation.done and not self._ended:
            self._ended = True
            events += await self._end()
        more = not (last or endless)
        if events or not more:
            await self._send({"type": "http.response.body", "body": events, "more_body": more})
        if endless:
            raise Enough

    async def _end(self) -> bytes:
        try:
            if self._complete is None:
                return self._translation.end({})
            return self._translation.end(await self._complete(self._translation.text))
        except RefusedError as error:
            return _event(error.body())

    def _keep(self, body: bytes, *, last: bool) -> None:
        self._body.extend(body)
        endless = len(self._body) > LONGEST
        if last or endless:
            self.refused = Answer(self._status, self._headers, bytes(self._body))
        if endless:
            raise Enough

    async def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._status, self._headers = status, headers
        self._streams = status == 200 and any(
            name.lower() == b"content-type" and value.startswith(b"text/event-stream")
            for name, value in headers
        )
        if self._streams:
            start = {"type": "http.response.start", "status": 200, "headers": _EVENT_HEADERS}
            await self._send(start)


class _Translation:
    """OpenAI's events as ours; keeps at most the beginning of an event that is still to come, and
    where that is asked for the text.
    """

    def __init__(self, key: str, *, keeps: bool) -> None:
        self._key = key
        self._rest = bytearray()
        self._texts: list[str] | None = [] if keeps else None
        self._length = 0  # of the texts
        self._end: dict[str, Any] = {"finish_reason": None, "model": None, "usage": None}
        self._failed = False
        self.done = False
        """Whether the engine said that this was all."""

    @property
    def text(self) -> str:
        return whole("".join(self._texts or ()))

    def end(self, more: Fields) -> bytes:
        """The last events."""
        try:
            return _event({**self._end, **more}) + _DONE
        except _NO_ANSWER:
            return _event(unreadable("stream of completions").body())

    @property
    def endless(self) -> bool:
        """Whether an event is longer than any: what follows is not worth waiting for."""
        return len(self._rest) > _LONGEST_EVENT

    def events(self, chunk: bytes, last: bool) -> bytes:  # noqa: FBT001
        translated = b"".join(self._event(event) for event in self._whole(chunk) if event)
        if (last or self.endless) and not self.done and not self._failed:
            message = "The engine ended the stream before the answer was complete."
            translated += _event(RefusedError(502, "engine_error", message).body())
        return translated

    def _whole(self, chunk: bytes) -> list[bytes]:
        """Looks at what is new alone, or an event that dribbles in would cost its square."""
        new = max(0, len(self._rest) - 2)
        self._rest += chunk
        if self._rest.find(b"\n\n", new) < 0 and self._rest.find(b"\n\r\n", new) < 0:
            return []
        *events, rest = bytes(self._rest).replace(b"\r\n", b"\n").split(b"\n\n")
        self._rest = bytearray(rest)
        return events

    def _event(self, event: bytes) -> bytes:
        data = b"\n".join(
            line[5:].lstrip() for line in event.split(b"\n") if line.startswith(b"data:")
        )
        if self._failed:
            return b""
        if not data:
            return event + b"\n\n"  # a comment, which keeps the connection alive
        try:
            if data == b"[DONE]":
                self.done = True
                return b""
            return self._piece(json.loads(data))
        except _NO_ANSWER:  # no JSON, or no event of OpenAI's
            self._failed = True
            return _event(unreadable("stream of completions").body())

    def _piece(self, document: dict[str, Any]) -> bytes:
        if document.get("error"):
            self._failed = True
            return _event({"error": document["error"]})
        self._end["model"] = document.get("model") or self._end["model"]
        self._end["usage"] = document.get("usage") or self._end["usage"]
        text = ""
        choices: list[dict[str, Any]] = document.get("choices") or []
        for choice in choices:
            self._end["finish_reason"] = choice.get("finish_reason") or self._end["finish_reason"]
            delta: dict[str, Any] = choice.get("delta") or {}
            text += str(choice.get("text") or delta.get("content") or "")
        if text and self._texts is not None:
            self._texts.append(text)
            self._length += len(text)
            if self._length > LONGEST:
                raise ValueError("longer than any")
        return _event({self._key: text}) if text else b""


def _event(body: dict[str, Any]) -> bytes:
    """Raises ValueError: there is a number in it that JSON has not."""
    return b"data: %b\n\n" % json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
