"""SIGTERM without a dropped request.

From the signal on: /readyz is red and every connection is closed after its answer (`closing`); the
server serves on through the grace, while endpoints are removed everywhere; then it refuses with 503
and Retry-After, waits until nothing is in flight, to the last byte of each stream, and sends itself
the one SIGINT that the engine's server exits on.
A second SIGTERM changes nothing. A SIGINT from outside, as Ctrl-C, ends the server at once, and
counts as being told to stop.
"""

import asyncio
import logging
import os
import signal

from llmservice_server.gateway.asgi import (
    TRY_AGAIN_LATER,
    App,
    Receive,
    Scope,
    Send,
    after_startup,
    answer_error,
)
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.lifecycle import Phase

_log = logging.getLogger("llmservice.drain")
_RETRY_AFTER = (b"retry-after", b"1")  # a retry on a new connection reaches another pod at once
_WATCHED = frozenset({"/metrics", "/metrics/"})  # a drain is worth watching to its end


class Drain:
    def __init__(self, app: App, context: Context) -> None:
        self._app = app
        self._lifecycle = context.lifecycle
        self._config = context.config.drain
        self._draining: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, after_startup(send, self._take_over_signals))
        elif scope["path"] in _WATCHED:
            await self._app(scope, receive, send)
        elif self._lifecycle.phase is Phase.REFUSING:
            await _refuse(scope, send)
        else:
            self._lifecycle.begin()
            try:
                await self._app(scope, receive, send)
            finally:
                self._lifecycle.end()

    def _take_over_signals(self) -> None:
        # The server that runs this application has set its own handler by now; this one wins.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._on_sigterm)
        # Beside the server's own, which the event loop still calls: its wakeup fd hears them all.
        signal.signal(signal.SIGINT, self._on_sigint)

    def _on_sigint(self, *_: object) -> None:
        if not self._lifecycle.stopping:
            _log.info("SIGINT: stopping at once")
            self._lifecycle.refuse()

    def _on_sigterm(self) -> None:
        if self._draining is None:
            self._lifecycle.drain()
            self._draining = asyncio.create_task(self._drain())
        else:
            _log.info("SIGTERM again: already draining")

    async def _drain(self) -> None:
        lifecycle, config = self._lifecycle, self._config
        _log.info("SIGTERM: serving on for %d s", config.grace_seconds)
        await asyncio.sleep(config.grace_seconds)
        lifecycle.refuse()
        _log.info("refusing new requests; %d in flight", lifecycle.in_flight)
        if not await lifecycle.idle(config.timeout_seconds):
            _log.warning(
                "giving up on %d requests still in flight after %d s; raise rollout.drainSeconds",
                lifecycle.in_flight,
                config.timeout_seconds,
            )
        _log.info("drained")
        os.kill(os.getpid(), signal.SIGINT)


async def _refuse(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
        return
    message = "This server is shutting down; send the request again."
    await answer_error(send, 503, "service_unavailable", message, [_RETRY_AFTER])
