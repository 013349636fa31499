"""Every request has an id: the client's own where it is sane, else a new one.

It stands in the headers that the engine sees, so that the engine uses it too, and in the response.
"""

import re
from os import urandom

from llmservice_server.gateway.asgi import App, Message, Receive, Scope, Send, header
from llmservice_server.gateway.context import Context

HEADER = b"x-request-id"
# Long enough for UUIDs and trace ids, and nothing that could forge a log line or a header.
_SANE = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestId:
    def __init__(self, app: App, _context: Context) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        given = header(scope, HEADER)
        request_id = given if given and _SANE.fullmatch(given) else urandom(16).hex()
        field = (HEADER, request_id.encode())
        others = [pair for pair in scope["headers"] if pair[0] != HEADER]

        async def send_with_id(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.accept"}:
                answered = message.get("headers", ())
                message["headers"] = [pair for pair in answered if pair[0].lower() != HEADER]
                message["headers"].append(field)
            await send(message)

        await self._app({**scope, "headers": [*others, field]}, receive, send_with_id)
