"""kopf and the lists around its own, against a server that changes after any of them."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from aiohttp import web
from llmservice_operator import watch
from llmservice_operator.api import Manifest
from llmservice_operator.client import Client
from llmservice_operator.connection import Connection
from llmservice_operator.kinds import CHILDREN
from llmservice_operator.records import FIELD_MANAGER
from llmservice_operator.store import Store
from llmservice_operator.watch import Watch
from prometheus_client import REGISTRY

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

    def __init__(self) -> None:
        self.objects: dict[str, Manifest] = {}
        self.shown_to_kopf: list[str] = []
        self.undiscovered = 0  # times that the groups are asked for and there are none
        self.answered = Counter[str]()  # by their verbs
        self.refused = 0  # times that our list of them is
        self.held: set[str] = set()  # plurals of which no list is answered
        self.listed: set[str] = set()  # plurals of which one was
        self.cuts = 0  # how often the streams have expired
        self.after_list: dict[str, Callable[[], None]] = {}  # by whose it is; each happens once
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
            self.answered["get"] += 1
            if request.path == "/apis" and self.undiscovered:
                self.undiscovered -= 1
                return web.json_response({"groups": []})
            return web.json_response(_DISCOVERED[request.path])
        ours = request.path == f"{_ROOT}/llmservices"
        if "watch" in request.query:
            self.answered["watch"] += 1
            return await self._watched(request, self._events if ours else [])
        await self._held_back(request.path.rpartition("/")[2])
        self.answered["list"] += 1
        whose = "ours" if request.headers["User-Agent"] == FIELD_MANAGER else "kopf's"
        if ours and whose == "ours" and self.refused:
            self.refused -= 1
            return web.json_response({}, status=503)
        _, _, only = request.query.get("fieldSelector", "").partition("metadata.name=")
        names = [name for name in self.objects if ours and only in ("", name)]
        metadata = {"resourceVersion": str(len(self._events))}
        body = {"metadata": metadata, "items": [self.objects[name] for name in names]}
        if ours:
            self.shown_to_kopf += names if whose == "kopf's" else ()
            self.after_list.pop(whose, lambda: None)()
        return web.json_response(body)

    async def _held_back(self, plural: str) -> None:
        while plural in self.held:
            await asyncio.sleep(0.01)
        self.listed.add(plural)

    async def _watched(self, request: web.Request, events: list[Manifest]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        told, cuts = int(request.query["resourceVersion"]), self.cuts
        while cuts == self.cuts:
            for event in events[told:]:
                await response.write(json.dumps(event).encode() + b"\n")
                told += 1
            await asyncio.sleep(0.01)
        expired = {"type": "ERROR", "object": {"kind": "Status", "code": 410}}
        await response.write(json.dumps(expired).encode() + b"\n")
        return response


@asynccontextmanager
async def _beginning(server: _Server) -> AsyncIterator[tuple[Watch, str]]:
    """A watch that has just begun, and the server's address."""
    async with serving(server.answer) as url:
        client = Client(Connection(url, ssl.create_default_context()), lambda: None)
        watch = Watch(client, [], Store(), lambda key, within=0.0: None, lambda: None)
        running = asyncio.create_task(watch.run())
        try:
            yield watch, url
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await client.close()


@asynccontextmanager
async def _watching(server: _Server) -> AsyncIterator[tuple[Store, str]]:
    """What is known of the server's LLMServices, once it is synced; and the server's address."""
    async with _beginning(server) as (watch, url):
        await watch.wait_synced()
        yield watch.store, url


async def _seen(store: Store, *names: str) -> None:
    async with asyncio.timeout(10):
        while {key.name for key in store.everyone()} != set(names):
            await asyncio.sleep(0.01)


_WATCHED = ["llmservices", "pods", *(kind.plural for kind in CHILDREN.values())]


async def _listed(server: _Server, *plurals: str, but: str = "") -> None:
    while not server.listed >= set(plurals) - {but}:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)  # for the answers to arrive


@pytest.mark.parametrize("held", _WATCHED)
async def test_until_the_last_kind_is_listed_it_is_not_synced(held: str) -> None:
    server = _Server()
    server.held.add(held)
    async with _beginning(server) as (watch, _), asyncio.timeout(10):
        await _listed(server, *_WATCHED, "nodes", but=held)
        assert not watch.synced()
        server.held.clear()
        await watch.wait_synced()


async def test_nodes_only_explain_and_are_not_waited_for_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = _Server()
    server.held.add("nodes")
    async with _beginning(server) as (seen, _), asyncio.timeout(10):
        await _listed(server, *_WATCHED)
        assert not seen.synced()
        monkeypatch.setattr(watch, "SCENERY_WAIT", 0.0)
        await seen.wait_synced()


async def test_each_watch_is_listened_to_kopfs_too() -> None:
    async with _beginning(_Server()) as (watch, _):
        await watch.wait_synced()
        silent = watch.silent()
    names = sorted(name.split()[0] for name, _ in silent)
    assert names == sorted([*_WATCHED, "pods", "nodes"])  # of pods: ours, and those of others
    assert all(0 <= seconds < 10 for _, seconds in silent)


@pytest.mark.parametrize("whose", ["ours", "kopf's"])
async def test_what_changes_after_a_list_is_seen_and_kopf_is_shown_none(whose: str) -> None:
    """Between our first list and kopf's, no watch is open that would tell of it."""
    server = _Server()
    for name in ("stays", "goes-between"):
        server.put(name)

    def between() -> None:
        server.remove("goes-between")
        server.put("comes-between")

    server.after_list[whose] = between
    async with _watching(server) as (store, _):
        await _seen(store, "stays", "comes-between")
        server.put("comes-later")
        await _seen(store, "stays", "comes-between", "comes-later")
        server.remove("stays")
        await _seen(store, "comes-between", "comes-later")
    assert server.after_list == {}
    assert server.shown_to_kopf == []


def _counted() -> Counter[tuple[str, str]]:
    """Requests of this process, by their hosts and verbs."""
    samples = (sample for family in REGISTRY.collect() for sample in family.samples)
    of_requests = (s for s in samples if s.name == "rest_client_requests_total")
    counted = Counter[tuple[str, str]]()
    for sample in of_requests:
        counted[sample.labels["host"], sample.labels["verb"]] += int(sample.value)
    return counted


def _at(url: str, counted: Counter[tuple[str, str]]) -> Counter[str]:
    return Counter({verb: n for (host, verb), n in counted.items() if url.endswith(host)})


async def test_each_request_is_counted_kopfs_too() -> None:
    server, before = _Server(), _counted()  # another test's server may have had the same port
    async with _watching(server) as (store, url):
        server.put("one")  # which kopf's watch tells of
        await _seen(store, "one")
        async with asyncio.timeout(10):
            while _at(url, _counted() - before) != server.answered:  # some are on their way
                await asyncio.sleep(0.01)
    assert server.answered.keys() == {"get", "list", "watch"}  # kopf asks what kinds there are


async def test_a_kind_that_discovery_names_late_is_watched_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is served already, and what kopf reads first does not name it."""
    monkeypatch.setattr(watch, "FIRST_LIST", 0.5)
    server = _Server()
    server.undiscovered = 1
    async with _watching(server) as (store, _):
        server.put("after")
        await _seen(store, "after")
    assert server.undiscovered == 0


async def test_what_watches_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kopf that listed is not started again: that would cost reads for ever."""
    monkeypatch.setattr(watch, "FIRST_LIST", 0.2)
    server = _Server()
    async with _watching(server) as (store, _):
        server.put("one")
        await _seen(store, "one")
        await asyncio.sleep(0.3)  # for what the start itself still asks
        asked = server.answered.copy()
        await asyncio.sleep(2)  # longer than the first pause after an end
        assert server.answered == asked


async def test_lists_that_fail_are_tried_again_ever_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures: list[int] = []

    def seconds(number: int, first: float, longest: float) -> float:
        failures.append(number)
        return 0.0

    monkeypatch.setattr(watch, "backoff", SimpleNamespace(seconds=seconds))
    server, listed = _Server(), asyncio.Event()
    async with _watching(server), asyncio.timeout(10):
        for times in (3, 2):
            server.refused, server.after_list["ours"] = times, listed.set
            while not listed.is_set():
                server.cuts += 1  # so that kopf lists, and we do
                await asyncio.sleep(0.1)
            listed.clear()
    assert failures == [1, 2, 3, 1, 2]
