"""The few ASGI shapes and answers that the layers share.

Promises nothing about what a layer does; holds no state.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from llmservice_server.error_shapes import openai_error

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

TRY_AGAIN_LATER = 1013
"""The websocket close code of a server that is busy or goes (IANA's registry)."""
_CLIENT_LEFT = 499  # nginx's; the log and the metrics show it, and nobody else


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that lower-case name, or None."""
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return None


async def answer_json(send: Send, status: int, body: object, headers: Headers = ()) -> None:
    """Send one whole JSON response."""
    content = json.dumps(body, separators=(",", ":")).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(content)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": content})


async def answer_error(
    send: Send, status: int, kind: str, message: str, headers: Headers = ()
) -> None:
    """Send an error in OpenAI's shape."""
    await answer_json(send, status, openai_error(kind, message), headers)


async def answer_nobody(send: Send) -> None:
    """Note that the client left before anything was answered, for the layers outside."""
    await answer_error(send, _CLIENT_LEFT, "client_closed_request", "The client left.")


def after_startup(send: Send, started: Callable[[], None]) -> Send:
    """The lifespan's send, calling ``started`` once the application below has started."""

    async def send_and_tell(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            started()
        await send(message)

    return send_and_tell


def before_stop(send: Send, stop: Callable[[], Awaitable[None]]) -> Send:
    """The lifespan's send, awaiting ``stop`` before the server's process is let go."""

    async def send_then(message: Message) -> None:
        if message["type"] == "lifespan.shutdown.complete":
            await stop()
        await send(message)

    return send_then


def again(message: Message, receive: Receive) -> Receive:
    """What gives this message of a body once more, and then whatever the client does."""
    first: Message | None = message

    async def receive_again() -> Message:
        nonlocal first
        if first is None:
            return await receive()
        message, first = first, None
        return message

    return receive_again
