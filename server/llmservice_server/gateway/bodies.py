"""What is asked and answered, as text, for the history of those whose plan asks for it.

Promises a bound on both, and that nothing is kept of anybody else's, nor of what the engine does
not compute, as a key that is shown once. A chunk costs who is kept a call, and nobody else
anything. What is no text, as speech, is not kept.
"""

from collections.abc import Mapping
from typing import Any, cast

from llmservice_server.gateway.admission import costs
from llmservice_server.gateway.asgi import App, Message, Receive, Scope, Send
from llmservice_server.gateway.caller import caller_of
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.sanitize import document_of

_LONGEST = 256 * 2**10  # bytes that are kept of one
_PLACE = "bodies"  # in the scope's state
_TEXTS = (b"application/json", b"text/")


def bodies(app: App, context: Context) -> App:
    """The layer, or the application itself where no history is kept."""
    return Bodies(app) if context.config.history else app


def bodies_of(scope: Scope) -> tuple[bytes | None, bytes | None]:
    """What was asked and what was answered; None where it is not kept."""
    kept = cast("_Kept | None", scope.get("state", {}).get(_PLACE))
    return (None, None) if kept is None else (kept.asked, kept.answered)


class Bodies:
    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope) if scope["type"] == "http" else None
        if caller and caller.plan.keep_bodies and costs(scope["method"], scope["path"]):
            kept = _Kept(scope)
            scope.setdefault("state", {})[_PLACE] = kept
            receive, send = kept.hearing(receive), kept.watching(send)
        await self._app(scope, receive, send)


class _Kept:
    def __init__(self, scope: Scope) -> None:
        self._is_json = document_of(scope) is not None
        self.asked: bytes | None = scope["query_string"][:_LONGEST] or None
        self._answered: bytearray | None = None

    @property
    def answered(self) -> bytes | None:
        return None if self._answered is None else bytes(self._answered)

    def hearing(self, receive: Receive) -> Receive:
        if not self._is_json:
            return receive

        async def hear() -> Message:
            message = await receive()
            if message["type"] == "http.request" and (body := message.get("body")):
                self.asked = body[:_LONGEST]  # it comes as one
            return message

        return hear

    def watching(self, send: Send) -> Send:
        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._answered = bytearray() if _is_text(message) else None
            elif self._answered is not None and len(self._answered) < _LONGEST:
                self._answered += message.get("body", b"")[: _LONGEST - len(self._answered)]
            await send(message)

        return watch


def _is_text(start: Mapping[str, Any]) -> bool:
    return any(
        name.lower() == b"content-type" and value.lower().startswith(_TEXTS)
        for name, value in start.get("headers", ())
    )
