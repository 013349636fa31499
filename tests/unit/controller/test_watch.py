"""kopf and the lists beside it, against a server that changes between the two."""

import asyncio
import json
import ssl
from collections.abc import Callable

from aiohttp import web
from llmservice_operator.api import Manifest
from llmservice_operator.client import Client
from llmservice_operator.connection import Connection
from llmservice_operator.records import FIELD_MANAGER
from llmservice_operator.store import Store
from llmservice_operator.watch import Watch

from tests.unit.controller.loopback import serving

_ROOT = "/apis/llmservice.io/v1alpha1"


def _kind(plural: str, singular: str, kind: str, *, namespaced: bool) -> Manifest:
    names = {"name": plural, "singularName": singular, "kind": kind}
    return {"resources": [{**names, "namespaced": namespaced, "verbs": ["list", "watch"]}]}


_VERSION = {"version": "v1alpha1"}
_GROUP = {"name": "llmservice.io", "versions": [_VERSION], "preferredVersion": _VERSION}
_DISCOVERED: dict[str, Manifest] = {  # kopf asks, and wants to know of namespaces
    "/version": {},
    "/api": {"versions": ["v1"]},
    "/api/v1": _kind("namespaces", "namespace", "Namespace", namespaced=False),
    "/apis": {"groups": [_GROUP]},
    _ROOT: _kind("llmservices", "llmservice", "LLMService", namespaced=True),
}


class _Server:
    """LLMServices by name; other kinds are empty."""

    after_kopfs_list: Callable[[], None]

    def __init__(self) -> None:
        self.objects: dict[str, Manifest] = {}
        self.shown_to_kopf: list[str] = []
        self.after_kopfs_list = lambda: None
        self._events: list[Manifest] = []  # the first one has version 1

    def put(self, name: str) -> None:
        self.objects[name] = self._now("ADDED", name)

    def remove(self, name: str) -> None:
        del self.objects[name]
        self._now("DELETED", name)

    def _now(self, what: str, name: str) -> Manifest:
        version = str(len(self._events) + 1)
        metadata = {"namespace": "ns", "name": name, "uid": name, "resourceVersion": version}
        obj: Manifest = {"kind": "LLMService", "metadata": metadata}
        self._events.append({"type": what, "object": obj})
        return obj

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path in _DISCOVERED:
            return web.json_response(_DISCOVERED[request.path])
        ours = request.path == f"{_ROOT}/llmservices"
        if "watch" in request.query:
            return await self._watched(request, self._events if ours else [])
        _, _, only = request.query.get("fieldSelector", "").partition("metadata.name=")
        names = [name for name in self.objects if ours and only in ("", name)]
        metadata = {"resourceVersion": str(len(self._events))}
        body = {"metadata": metadata, "items": [self.objects[name] for name in names]}
        if ours and request.headers["User-Agent"] != FIELD_MANAGER:
            self.shown_to_kopf += names
            self.after_kopfs_list()
        return web.json_response(body)

    async def _watched(self, request: web.Request, events: list[Manifest]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        told = int(request.query["resourceVersion"])
        while True:
            for event in events[told:]:
                await response.write(json.dumps(event).encode() + b"\n")
                told += 1
            await asyncio.sleep(0.01)


async def test_kopf_is_shown_no_list_and_what_happens_around_it_is_seen() -> None:
    server = _Server()
    for name in ("stays", "goes-between"):
        server.put(name)

    def between() -> None:
        server.remove("goes-between")
        server.put("comes-between")
        server.after_kopfs_list = lambda: None

    server.after_kopfs_list = between
    store = Store()

    async def seen(*names: str) -> None:
        async with asyncio.timeout(10):
            while {key.name for key in store.everyone()} != set(names):
                await asyncio.sleep(0.01)

    async with serving(server.answer) as url:
        client = Client(Connection(url, ssl.create_default_context()), lambda: None)
        watch = Watch(client, [], store, lambda key, within=0.0: None, lambda: None)
        running = asyncio.create_task(watch.run())
        await watch.wait_synced()
        await seen("stays", "comes-between")
        server.put("comes-later")
        await seen("stays", "comes-between", "comes-later")
        server.remove("stays")
        await seen("comes-between", "comes-later")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await client.close()
    assert server.shown_to_kopf == []
