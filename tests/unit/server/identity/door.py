"""The identity layer before an engine that says who asked, called without sockets."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from llmservice_server.config import AuthConfig, ServerConfig
from llmservice_server.gateway.asgi import App, Message, Receive, Scope, Send, answer_json
from llmservice_server.gateway.caller import caller_of
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.identity.layer import identity
from llmservice_server.gateway.identity.stored import KeyStore

from tests.unit.server.layer import Exchange
from tests.unit.server.small_engine import MODEL, SmallEngine

PEPPER = "a-pepper-of-the-tests"


async def engine(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the whole body, as the layer below does, and tells what is noted."""
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    while (await receive()).get("more_body"):
        pass
    caller = caller_of(scope)
    told = caller and {
        "address": caller.address,
        "plan": caller.plan.name,
        "key": caller.key,
        "user": caller.user,
        "admin": caller.admin,
    }
    await answer_json(send, 200, {"error": told})  # where `Exchange` looks


def door(
    auth: Mapping[str, Any], keys: KeyStore | None = None, app: App = engine, **parts: Any
) -> App:
    """The layer; auth as in a file, other parts of the configuration as they are."""
    config = ServerConfig(model=MODEL, auth=AuthConfig.model_validate(auth), **parts)
    return identity(app, Context(config, SmallEngine(), keys=keys))


@asynccontextmanager
async def opened(app: App) -> AsyncIterator[App]:
    """The same between its startup and its shutdown."""
    events: asyncio.Queue[Message] = asyncio.Queue()
    told: asyncio.Queue[Message] = asyncio.Queue()
    living = asyncio.create_task(app({"type": "lifespan"}, events.get, told.put))
    await events.put({"type": "lifespan.startup"})
    await asyncio.wait_for(told.get(), 5)
    try:
        yield app
    finally:
        await events.put({"type": "lifespan.shutdown"})
        await asyncio.wait_for(told.get(), 10)
        await living


async def ask(
    app: App,
    key: str | None = None,
    *chunks: bytes,
    method: str = "POST",
    path: str = "/v1/completions",
    address: str = "192.0.2.1",
    headers: Mapping[str, str] | None = None,
    kind: str = "http",
) -> Exchange:
    shown = {"authorization": f"Bearer {key}"} if key is not None else {}
    exchange = Exchange(
        *chunks, method=method, path=path, headers={**shown, **(headers or {})}, kind=kind
    )
    exchange.scope["client"] = (address, 1234)
    exchange.scope["raw_path"] = path.encode()
    return await exchange.through(app)
