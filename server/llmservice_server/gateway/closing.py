"""A server that was told to stop says ``Connection: close`` with every answer.

kube-proxy leaves established connections alone: only a new one reaches another pod. Outside of all
that answers, so that no layer has to think of it.
"""

from llmservice_server.gateway.asgi import App, Message, Receive, Scope, Send
from llmservice_server.gateway.context import Context

_CLOSE = (b"connection", b"close")


class Closing:
    def __init__(self, app: App, context: Context) -> None:
        self._app = app
        self._lifecycle = context.lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self._lifecycle.stopping:
                message["headers"] = [*message.get("headers", ()), _CLOSE]
            await send(message)

        await self._app(scope, receive, send_closing)
