"""A watch of the real API server that ends goes on from where its last bookmark says."""

import asyncio
from typing import Any

import aiohttp
import pytest
from devcluster import Cluster
from llmservice_operator import reflector
from llmservice_operator.client import Client, Selection
from llmservice_operator.connection import from_kubeconfig
from llmservice_operator.kinds import CHILDREN
from llmservice_operator.records import child
from llmservice_operator.reflector import Reflector

from tests.cluster.kube import Kube

_STREAM = 4  # seconds; in the last two of a stream the API server sends a bookmark


class _Nowhere:
    """A sink that expects nothing."""

    def replace(self, records: list[Any], version: int) -> None:
        assert records == []

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


async def test_a_stream_without_an_event_is_followed_from_its_bookmark(
    cluster: Cluster, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "STREAM", _STREAM)
    opened: list[int] = []
    listed = 0

    async def note(_: Any, __: Any, started: aiohttp.TraceRequestStartParams) -> None:
        nonlocal listed
        query = started.url.query
        if "watch" in query:
            opened.append(int(query["resourceVersion"]))
        else:
            listed += 1

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(note)
    client = Client(from_kubeconfig(cluster.kubeconfig), lambda: None, traces=[trace])
    selection = Selection(CHILDREN["ConfigMap"], kube.namespace, "watched=yes")
    following = asyncio.create_task(Reflector(client, selection, child, _Nowhere()).run())
    async with asyncio.timeout(60):
        while not opened:
            await asyncio.sleep(0.05)
        unwatched = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}
        made = await asyncio.to_thread(kube.create, unwatched)
        while len(opened) < 2:
            await asyncio.sleep(0.05)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await client.close()
    assert opened[0] < int(made["metadata"]["resourceVersion"]) <= opened[1]
    assert listed == 1
