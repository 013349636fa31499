"""Idempotency between Sanitize and an engine that numbers its answers, for its tests."""

import json
from typing import Any

from llmservice_server.config import IdempotencyConfig, Plan
from llmservice_server.gateway.asgi import Receive, Scope, Send
from llmservice_server.gateway.caller import Caller, note
from llmservice_server.gateway.exchange import Exchange as Seen
from llmservice_server.gateway.exchange import Exchanges
from llmservice_server.gateway.idempotency.layer import idempotency
from llmservice_server.gateway.predict_errors import PredictErrors
from llmservice_server.gateway.sanitize import Sanitize

from tests.unit.server.cache.engine import CHAT, Engine
from tests.unit.server.layer import Exchange, context


class World:
    def __init__(self, **parts: Any) -> None:
        self.engine, self.seen = Engine(), list[Seen]()
        self.given: list[bytes] = []
        parts.setdefault("idempotency", IdempotencyConfig())
        world = context(**parts)
        self.layer = idempotency(self._noted, world)
        below = PredictErrors(Sanitize(self.layer, world), world)
        self._app = Exchanges(below, world, (lambda _: self,))

    async def _noted(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.given += [value for name, value in scope["headers"] if name == b"idempotency-key"]
        await self.engine(scope, receive, send)

    def begins(self, exchange: Seen) -> None:
        """As an observer."""

    def ends(self, exchange: Seen) -> None:
        self.seen.append(exchange)

    async def close(self) -> None:
        async def nothing(*_: object) -> Any: ...

        await self.layer({"type": "lifespan"}, nothing, nothing)

    def prepared(
        self, key: str = "k", user: str | None = "ann", path: str = CHAT, **body: Any
    ) -> Exchange:
        headers = {"idempotency-key": key, **body.pop("headers", {})}
        exchange = Exchange(json.dumps(body).encode(), path=path, headers=headers)
        note(exchange.scope, Caller("192.0.2.1", Plan(name="p"), key=user, user=user))
        return exchange

    async def send(self, exchange: Exchange) -> Exchange:
        return await exchange.through(self._app)

    async def ask(self, *words: Any, **body: Any) -> Exchange:
        return await self.send(self.prepared(*words, **body))


def replayed(exchange: Exchange) -> bool:
    return exchange.headers.get("idempotent-replayed") == "true"
