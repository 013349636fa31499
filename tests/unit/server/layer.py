"""One layer of the gateway called as a server would call it, without sockets, for its tests."""

import asyncio
import json
from typing import Any

from llmservice_server.config import ServerConfig
from llmservice_server.gateway.asgi import App, Message, Scope
from llmservice_server.gateway.context import Context

from tests.unit.server.small_engine import MODEL, SmallEngine


def context(**parts: Any) -> Context:
    return Context(ServerConfig(model=MODEL, **parts), SmallEngine())


class Exchange:
    """One request and its answer. The client stays until it is told to leave."""

    def __init__(
        self,
        *chunks: bytes,
        method: str = "POST",
        path: str = "/v1/completions",
        headers: dict[str, str] | None = None,
        kind: str = "http",
        measured: bool = True,
    ) -> None:
        given = {name.lower(): value for name, value in (headers or {}).items()}
        if chunks and measured:
            given.setdefault("content-length", str(sum(map(len, chunks))))
        self.scope: Scope = {
            "type": kind,
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        self._coming: list[Message] = [
            {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
            for number, chunk in enumerate(chunks, 1)
        ] or [{"type": "http.request", "body": b"", "more_body": False}]
        self.gone = asyncio.Event()
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if self._coming:
            return self._coming.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def through(self, app: App) -> "Exchange":
        await app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def error(self) -> dict[str, Any]:
        body = b"".join(message.get("body", b"") for message in self.sent[1:])
        return json.loads(body)["error"]
