"""The store's life: it begins when the application has started, and ends when all else has."""

from typing import TYPE_CHECKING

from llmservice_server.gateway.asgi import App, Message, Receive, Scope, Send
from llmservice_server.gateway.context import Context

if TYPE_CHECKING:
    from llmservice_server.store.store import Store


def kept(app: App, context: Context) -> App:
    """The layer, or the application itself where nothing is kept."""
    return Kept(app, context.store) if context.store else app


class Kept:
    def __init__(self, app: App, store: "Store") -> None:
        self._app, self._store = app, store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_and_follow(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._store.start()
            elif message["type"].startswith("lifespan.shutdown."):
                await self._store.stop()
            await send(message)

        await self._app(scope, receive, send_and_follow)
