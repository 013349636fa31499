"""One JSON line a request, when its last byte is sent or its client is gone.

Never a body, a query, a header or a key; the path is the route's template where one matched, and
cut short where none did.
"""

import logging
import time

from llmservice_server.gateway.asgi import App, Message, Receive, Scope, Send, header
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.request_id import HEADER

_log = logging.getLogger("llmservice.access")
# Asked every few seconds by the kubelet and Prometheus, which tell when it fails.
_POLLED = frozenset({"/livez", "/readyz", "/health", "/metrics", "/metrics/"})
_PATH = 80  # characters of a path that matched no route


class AccessLog:
    def __init__(self, app: App, _context: Context) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status, streaming, complete = 500, False, False  # what uvicorn answers to an exception

        async def send_and_watch(message: Message) -> None:
            nonlocal status, streaming, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                streaming = any(
                    name.lower() == b"content-type" and value.startswith(b"text/event-stream")
                    for name, value in message.get("headers", ())
                )
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                complete = True

        try:
            await self._app(scope, receive, send_and_watch)
        finally:
            level = logging.DEBUG if scope["path"] in _POLLED else logging.INFO
            fields = {
                "request_id": header(scope, HEADER),
                "method": scope["method"],
                "route": _route(scope),
                "status": status,
                "seconds": round(time.perf_counter() - began, 4),
                "streaming": streaming,
                "complete": complete,
            }
            _log.log(level, "request", extra={"fields": fields})


def _route(scope: Scope) -> str:
    template = getattr(scope.get("route"), "path", None)  # left there by the engine's router
    return template if isinstance(template, str) else scope["path"][:_PATH]
