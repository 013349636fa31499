"""The API server as a bare asynchronous client talks to it: the floor under every operator.

So many requests at once over pooled connections, JSON as it is, no cache and no retry.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from llmservice_operator.connection import from_kubeconfig
from llmservice_operator.kinds import CHILDREN, LLM_SERVICE, NODE, POD, Kind

from dev.progress import say

Manifest = dict[str, Any]
AT_ONCE = 32
PROGRESS = 5.0  # seconds between two lines
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"

_KINDS = CHILDREN | {
    kind.name: kind
    for kind in (
        LLM_SERVICE,
        NODE,
        POD,
        Kind("Namespace", "v1", "namespaces"),
        Kind("ServiceCIDR", "networking.k8s.io/v1", "servicecidrs"),
    )
}


class RefusedError(Exception):
    """The API server's answer was an error; its words are the text."""


class Api:
    def __init__(
        self, session: aiohttp.ClientSession, server: str, headers: dict[str, str]
    ) -> None:
        self._session, self._server, self._headers = session, server, headers

    async def create(self, obj: Manifest) -> None:
        path = _KINDS[obj["kind"]].path(obj["metadata"].get("namespace", ""))
        await self._request("POST", path, json.dumps(obj))

    async def patch(
        self, kind: str, namespace: str, name: str, patch: Any, content: str = MERGE
    ) -> None:
        path = _KINDS[kind].path(namespace, name)
        await self._request("PATCH", path, json.dumps(patch), content)

    async def delete(
        self, kind: str, namespace: str, name: str, propagation: str = "Background"
    ) -> None:
        options = {"propagationPolicy": propagation}
        await self._request("DELETE", _KINDS[kind].path(namespace, name), json.dumps(options))

    async def listed(self, kind: str, namespace: str = "") -> Manifest:
        return json.loads(await self._request("GET", _KINDS[kind].path(namespace)))

    async def metrics(self) -> str:
        return (await self._request("GET", "/metrics")).decode()

    async def watch(self, kind: str, namespace: str, version: str) -> AsyncIterator[list[Manifest]]:
        """Events as they come, those that come together in one list, until the stream ends."""
        query = f"?watch=true&resourceVersion={version}&timeoutSeconds=86400"
        url = f"{self._server}{_KINDS[kind].path(namespace)}{query}"
        no_limit = aiohttp.ClientTimeout(total=None)
        async with self._session.get(url, headers=self._headers, timeout=no_limit) as response:
            if response.status >= 400:
                raise RefusedError(f"watch of {kind}: {response.status} {await response.text()}")
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                if lines:
                    yield [json.loads(line) for line in lines if line]

    async def _request(
        self, method: str, path: str, body: str | None = None, content: str = "application/json"
    ) -> bytes:
        async with self._session.request(
            method,
            f"{self._server}{path}",
            data=body,
            headers={**self._headers, "Content-Type": content},
        ) as response:
            text = await response.read()
            if response.status >= 400:
                raise RefusedError(f"{method} {path}: {response.status} {text[:500].decode()}")
            return text


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncGenerator[Api]:
    found = from_kubeconfig(kubeconfig)
    connector = aiohttp.TCPConnector(ssl=found.tls, limit=0)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Api(session, found.server, found.headers())


async def all_of(what: str, requests: Iterable[Any], at_once: int = AT_ONCE) -> None:
    """Await all coroutines, so many at once; the first error ends it."""
    waiting, done, said = iter(requests), 0, time.monotonic()

    async def worker() -> None:
        nonlocal done, said
        for request in waiting:
            await request
            done += 1
            if (now := time.monotonic()) > said + PROGRESS:
                said = now
                say(f"  {what}: {done} requests done")

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
