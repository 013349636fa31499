"""The cache: who asks what was asked a moment ago gets the answer that there was.

Promises that only whole answers with 200 are kept, a stream's only with its end and without an
error in it; that what is found is given again as it was given, a stream as a stream; that nobody
waits for another one's answer for longer than for a turn; that without what it keeps answers in,
everything is as without this layer, which is not there where no cache is configured. A chunk that
is to be kept costs a call.
"""

import asyncio
import re
import time
from typing import Protocol

from llmservice_server.config import CacheConfig
from llmservice_server.gateway.ahead import Ahead
from llmservice_server.gateway.answers.given import By, note_given
from llmservice_server.gateway.answers.recorded import Recorded, give, unpacked
from llmservice_server.gateway.answers.recording import Recording, Recordings
from llmservice_server.gateway.asgi import (
    App,
    Message,
    Receive,
    Scope,
    Send,
    after_startup,
    answer_nobody,
    before_stop,
)
from llmservice_server.gateway.cache import metrics
from llmservice_server.gateway.cache.asked import Asked, Asking, Use, looked_up
from llmservice_server.gateway.cache.flights import Flight, Flights
from llmservice_server.gateway.cache.own import OwnAnswers
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.usage import Usage, count

_DONE = (b"data: [DONE]", b"data:[DONE]")
_ERROR = re.compile(rb'(?m)^(?:data: ?\{\s*"error"|event: ?error)')  # in a stream
_FAULT = re.compile(rb'\s*\{\s*"error"\s*:\s*\{')  # a body that says so in spite of its status
_STATUS = b"cache-status"  # RFC 9211
_MISS, _BYPASS = b"llmservice; fwd=miss", b"llmservice; fwd=bypass"
_REFRESH, _COLLAPSED = b"llmservice; fwd=request", b"llmservice; fwd=miss; collapsed"


class Answers(Protocol):
    def start(self) -> None:
        """Make ready what takes longer than a request may wait; before the first one."""
        ...

    async def find(self, key: str) -> Recorded | None: ...

    def keep(self, key: str, answer: Recorded) -> None:
        """At once, or soon, or not."""
        ...

    async def close(self) -> None: ...


def cache(app: App, context: Context) -> App:
    """The layer where it is configured, else the application itself.

    Raises:
        ConfigError: Redis' address is not there or none.
    """
    config = context.config.cache
    return app if config is None else Cache(app, context, config, _answers(context, config))


def _answers(context: Context, config: CacheConfig) -> Answers:
    redis = context.config.redis
    if redis.url is None:
        return OwnAnswers(config)
    # with what it needs
    from llmservice_server.gateway.answers.patience import Patience  # noqa: PLC0415
    from llmservice_server.gateway.cache.shared import SharedAnswers  # noqa: PLC0415

    return SharedAnswers(Patience.of(redis.url), config.ttl_seconds)


def storable(answer: Recorded) -> bool:
    """Whether it is the whole answer to whoever asks the same; pure."""
    if answer.status != 200 or any(name == b"content-encoding" for name, _ in answer.headers):
        return False
    if answer.streams:
        failed = b'"error"' in answer.body and _ERROR.search(answer.body)
        return answer.body.rstrip().endswith(_DONE) and not failed
    # A client that left is answered with null by some.
    return answer.body.lstrip()[:1] in {b"{", b"["} and not _FAULT.match(answer.body)


class Cache:
    def __init__(self, app: App, context: Context, config: CacheConfig, answers: Answers) -> None:
        self._app, self._answers, self._ttl = app, answers, config.ttl_seconds
        self._asking = Asking(context.config)
        self._patience = context.config.limits.wait_seconds
        self._flights = Flights(context.config.limits.waiting)
        self._recordings = Recordings(config.max_entry_bytes, config.max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            send = after_startup(send, self._answers.start)
            await self._app(scope, receive, before_stop(send, self._answers.close))
            return
        asked = self._asking.of(scope)
        if asked is None:
            await self._app(scope, receive, send)
        elif asked.use is Use.BYPASS:
            metrics.bypass.inc()
            await self._app(scope, receive, _telling(send, _BYPASS))
        elif asked.use is Use.REFRESH:
            metrics.refresh.inc()
            await self._run(asked.key, None, scope, receive, _telling(send, _REFRESH))
        elif found := await self._found(scope, asked):
            metrics.hit.inc()
            note_given(scope, By.CACHE)
            await give(found, send, self._hit(found))
        else:
            await self._fly(asked.key, scope, receive, send)

    async def _found(self, scope: Scope, asked: Asked) -> Recorded | None:
        """In the round trip that was made for the limits, if there was one."""
        looked, found = looked_up(scope)
        if looked:
            return unpacked(found) if found else None
        return await self._answers.find(asked.key)

    def _hit(self, found: Recorded) -> list[tuple[bytes, bytes]]:
        age = max(int(time.time()) - found.made, 0)
        status = b"llmservice; hit; ttl=%d" % max(self._ttl - age, 0)
        return [(_STATUS, status), (b"age", b"%d" % age)]

    async def _fly(self, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Lead, or wait for who does."""
        flight = self._flights.lead(key)
        if flight is None:
            ahead = Ahead(receive)
            gone, found = await self._waited(key, ahead)
            if gone:
                count(scope, Usage(0, 0))
                await answer_nobody(send)
                return
            if isinstance(found, Recorded):
                metrics.collapsed.inc()
                note_given(scope, By.FLIGHT)
                await give(found, send, [(_STATUS, _COLLAPSED)])
                return
            flight, receive = found, ahead.receive
        metrics.miss.inc()
        await self._run(key, flight, scope, receive, _telling(send, _MISS))

    async def _waited(self, key: str, ahead: Ahead) -> tuple[bool, Recorded | Flight | None]:
        """Whether the client left; and what came of it, None where there is no more to wait for."""
        seat = self._flights.join(key)
        if seat is None:
            return False, None
        gone, came = asyncio.ensure_future(ahead.until_gone()), False
        try:
            await asyncio.wait(
                {seat, gone}, timeout=self._patience, return_when=asyncio.FIRST_COMPLETED
            )
            came = seat.done() and not gone.done()
        finally:
            gone.cancel()
            if not came:
                self._flights.leave(key, seat)
        return gone.done() and not gone.cancelled(), seat.result() if came else None

    async def _run(
        self, key: str, flight: Flight | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Ask the engine, and keep what it answers where that is to be kept."""
        recording = Recording(self._recordings)

        async def send_and_keep(message: Message) -> None:
            recording.hear(message)
            if recording.lost:
                if flight:
                    self._flights.dissolve(flight)
            elif (answer := recording.answer) and not recording.left and storable(answer):
                self._answers.keep(key, answer)
                if flight:
                    self._flights.land(flight, answer)
            await send(message)

        try:
            await self._app(scope, recording.listening(receive), send_and_keep)
        finally:
            recording.end()
            if flight:
                self._flights.land(flight, None)


def _telling(send: Send, status: bytes) -> Send:
    async def send_telling(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (_STATUS, status)]
        await send(message)

    return send_telling
