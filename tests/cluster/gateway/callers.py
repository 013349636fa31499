"""Who asks the servers: users with keys of their own, who ask one replica after the other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any

import httpx2

from tests.cluster.gateway.replicas import Replicas

CHAT = "/v1/chat/completions"
SECONDS = 60
"""For what takes a moment; a machine may be busy."""
_TRIES = 5
_numbers = count(1)


def chat(words: int = 10, model: str = "quick", **more: Any) -> dict[str, Any]:
    """A body whose answer has so many words."""
    said = [{"role": "user", "content": "What is the capital of France?"}]
    return {"model": model, "messages": said, "max_tokens": words, **more}


@dataclass
class Servers:
    """lose: all that is not durable goes, and the servers run again. secrets: what no log may hold,
    each key that is made here among them.
    """

    replicas: Replicas
    engine: str
    lose: Callable[[], None]
    admin_key: str = field(repr=False)
    secrets: list[str] = field(default_factory=list[str], repr=False)

    @property
    def number(self) -> int:
        return len(self.replicas.urls)

    @asynccontextmanager
    async def caller(
        self, key: str | None = None, *, name: str = "", address: str | None = None
    ) -> "AsyncIterator[Caller]":
        """address: from which all requests come; without it each comes from another one."""
        async with httpx2.AsyncClient(timeout=SECONDS) as client:
            yield Caller(self, client, key, name, address)

    @asynccontextmanager
    async def user(self, **plan: Any) -> "AsyncIterator[Caller]":
        """A new one, with a plan of its own and a key that opens all of it."""
        name = f"user{next(_numbers)}"
        async with self.admin() as admin:
            await admin.done("PUT", f"/admin/v1/plans/{name}", {"name": name, **plan})
            await admin.done("POST", "/admin/v1/users", {"name": name, "plan": name})
            made = await admin.new_key(name)
        async with self.caller(made["key"], name=name) as caller:
            yield caller

    @asynccontextmanager
    async def admin(self) -> "AsyncIterator[Admin]":
        async with httpx2.AsyncClient(timeout=SECONDS) as client:
            yield Admin(self, client, self.admin_key, "admin", None)

    async def ran(self) -> int:
        """How many requests the engine began with, since it runs."""
        async with httpx2.AsyncClient(timeout=SECONDS) as client:
            return (await client.get(f"{self.engine}/ran")).json()


class Caller:
    def __init__(
        self,
        servers: Servers,
        client: httpx2.AsyncClient,
        key: str | None,
        name: str,
        address: str | None,
    ) -> None:
        self.key, self.name, self._servers = key, name, servers
        self._client, self._address = client, address
        self._urls = cycle(servers.replicas.urls)

    async def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """What the next replica answers."""
        url = f"{next(self._urls)}{path}"
        return await self._client.request(method, url, json=body, headers=self.shown(headers))

    async def chat(
        self, words: int = 10, model: str = "quick", headers: Any = None, **more: Any
    ) -> httpx2.Response:
        return await self("POST", CHAT, chat(words, model, **more), headers)

    @asynccontextmanager
    async def stream(self, words: int, model: str = "slow") -> AsyncIterator[AsyncIterator[str]]:
        """The lines of one; leaving it leaves the server."""
        url, body = f"{next(self._urls)}{CHAT}", chat(words, model, stream=True)
        sent = self._client.stream("POST", url, json=body, headers=self.shown())
        async with sent as answer:
            assert answer.status_code == 200
            yield answer.aiter_lines()

    def shown(self, headers: Mapping[str, str] | None = None) -> dict[str, str]:
        number = next(_numbers)
        shown = {"x-forwarded-for": self._address or f"10.0.{number >> 8 & 255}.{number & 255}"}
        if self.key:
            shown["authorization"] = f"Bearer {self.key}"
        return {**shown, **(headers or {})}

    async def done(self, method: str, path: str, body: Any = None) -> Any:
        """What is answered to what must go well; asked again where a busy server says so."""
        for _ in range(_TRIES):
            answer = await self(method, path, body)
            if answer.status_code != 503:
                break
            await asyncio.sleep(float(answer.headers["retry-after"]))
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


class Admin(Caller):
    async def new_key(self, user: str, **more: Any) -> dict[str, Any]:
        made = await self.done("POST", "/admin/v1/keys", {"user": user, **more})
        self._servers.secrets.append(made["key"])
        return made

    async def used(self, user: str) -> dict[str, Any]:
        """What the user used, all days and models together."""
        (sums,) = await self.done("GET", f"/admin/v1/usage?user={user}")
        return {name: value for name, value in sums.items() if value is not None}


async def until(true: Callable[[], Awaitable[bool]], seconds: float = SECONDS) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.1)


def error_of(answer: httpx2.Response) -> tuple[int, str]:
    """The status, and the code in OpenAI's shape."""
    return answer.status_code, answer.json()["error"]["code"]
