"""An engine that numbers its answers, behind the cache and what stands before it, for its tests."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from llmservice_server.config import CacheConfig, Plan
from llmservice_server.gateway.asgi import Message, Receive, Scope, Send, answer_error, answer_json
from llmservice_server.gateway.cache.layer import cache
from llmservice_server.gateway.caller import Caller, note
from llmservice_server.gateway.exchange import Exchange as Seen
from llmservice_server.gateway.exchange import Exchanges
from llmservice_server.gateway.sanitize import Sanitize
from llmservice_server.gateway.toll.layer import toll

from tests.unit.server.layer import Exchange, context

PLAN = Plan(name="p")
CHAT = "/v1/chat/completions"


class Engine:
    """Each answer has its number, ``[DONE]`` at a stream's end, and waits for ``go_on``."""

    def __init__(self) -> None:
        self.asked = 0
        self.running = 0
        self.status = 200
        self.pieces: list[bytes] = [b'data: {"n": %d}\n\n', b"data: more\n\n", b"data: [DONE]\n\n"]
        self.headers: list[tuple[bytes, bytes]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = json.loads((await receive())["body"])
        self.asked += 1
        number = self.asked
        self.running += 1
        try:
            if await self._left(receive):
                await answer_json(send, 200, None)  # as some engines do
                return
        finally:
            self.running -= 1
        if self.status != 200:
            await answer_error(send, self.status, "server_error", f"number {number}")
        elif body.get("stream"):
            await self._stream(number, send)
        else:
            usage = {"prompt_tokens": 3, "completion_tokens": 5}
            headers = self.headers
            await answer_json(send, 200, {"n": number, "pad": "x" * body.get("pad", 0),
                                          "usage": usage}, headers)  # fmt: skip

    async def _left(self, receive: Receive) -> bool:
        gone, goes_on = asyncio.ensure_future(receive()), asyncio.ensure_future(self.go_on.wait())
        await asyncio.wait({gone, goes_on}, return_when=asyncio.FIRST_COMPLETED)
        goes_on.cancel()
        left = gone.done()
        gone.cancel()
        return left

    async def _stream(self, number: int, send: Send) -> None:
        kind = (b"content-type", b"text/event-stream; charset=utf-8")
        await send({"type": "http.response.start", "status": 200, "headers": [kind]})
        for piece in self.pieces:
            body = piece % number if b"%d" in piece else piece
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class World:
    """The cache between Sanitize, with the limits where there are any, and an engine."""

    def __init__(self, **parts: Any) -> None:
        self.engine, self.seen = Engine(), list[Seen]()
        parts.setdefault("cache", CacheConfig())
        world = context(**parts)
        self._cache = cache(self.engine, world)
        self._app = Exchanges(Sanitize(toll(self._cache, world), world), world, (lambda _: self,))

    def begins(self, exchange: Seen) -> None:
        """As an observer."""

    def ends(self, exchange: Seen) -> None:
        self.seen.append(exchange)

    async def close(self) -> None:
        async def stop(_: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "lifespan.shutdown.complete"})

        async def nothing(*_: object) -> Any: ...

        self._cache._app = stop  # type: ignore[attr-defined]  # noqa: SLF001
        await self._cache({"type": "lifespan"}, nothing, nothing)

    def prepared(
        self, user: str | None = "ann", plan: Plan = PLAN, path: str = CHAT, **body: Any
    ) -> Exchange:
        headers = body.pop("headers", None)
        body.setdefault("temperature", 0)
        exchange = Exchange(json.dumps(body).encode(), path=path, headers=headers)
        note(exchange.scope, Caller("192.0.2.1", plan, key=user and f"k-{user}", user=user))
        return exchange

    async def send(self, exchange: Exchange) -> Exchange:
        return await exchange.through(self._app)

    async def ask(self, *words: Any, **body: Any) -> Exchange:
        return await self.send(self.prepared(*words, **body))


def number(exchange: Exchange) -> int:
    """Which of the engine's answers it is."""
    text = body_of(exchange).removeprefix(b"data: ").partition(b"\n")[0]
    return json.loads(text)["n"]


def body_of(exchange: Exchange) -> bytes:
    return b"".join(message.get("body", b"") for message in exchange.sent[1:])


def status_of(exchange: Exchange) -> str:
    return exchange.headers.get("cache-status", "").removeprefix("llmservice; ").partition(";")[0]


Told = Callable[[Message], None]
