"""/healthz tells what hangs, and nothing else."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from llmservice_operator import endpoints, health, reflector
from llmservice_operator import queue as queues
from llmservice_operator.api import Manifest
from llmservice_operator.client import ApiError, Selection
from llmservice_operator.kinds import POD
from llmservice_operator.queue import Queue
from llmservice_operator.reflector import Reflector


def test_what_takes_long_is_no_fault_and_what_never_ends_is_one() -> None:
    assert health.faults([("a/x", 599.0)], [("pods in all namespaces", 599.0)]) == []
    assert health.faults(
        [("a/x", 601.0), ("a/y", 1.0)], [("pods in b", 601.0), ("pods in b", 1.0)]
    ) == [
        "the reconcile of a/x has not ended for 601 s",
        "the watch of pods in b gave no sign for 601 s",
    ]


async def test_a_key_is_with_a_worker_from_get_to_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(queues.time, "monotonic", lambda: now)
    queue = Queue[str]()
    queue.add("a")
    assert queue.held() == []
    now = 50.0
    await queue.get()
    queue.add("a")  # for another round; the first one goes on
    now = 700.0
    assert health.faults(queue.held(), []) == ["the reconcile of a has not ended for 650 s"]
    queue.done("a")
    assert queue.held() == []
    await queue.get()
    assert queue.held() == [("a", 0.0)]


class _Api:
    """Answers what it is told; then it hangs."""

    def __init__(self, *events: Manifest, lists: bool = True) -> None:
        self._events, self._lists = events, lists

    async def list(self, *_: object) -> tuple[list[Any], int]:
        if not self._lists:
            raise ApiError(503, "ServiceUnavailable", "not now", 7.0)
        return [], 1

    async def watch(self, *_: object) -> AsyncIterator[Manifest]:
        for event in self._events:
            yield event
        await asyncio.Event().wait()


class _Nowhere:
    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


_BOOKMARK: Manifest = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "2"}}}


@pytest.mark.parametrize(
    ("api", "sign"),
    [(_Api(), 0.0), (_Api(_BOOKMARK), 0.0), (_Api(lists=False), 7.0)],
    ids=["list", "bookmark", "failure"],
)
async def test_each_sign_of_life_of_a_watch_counts(api: _Api, sign: float) -> None:
    watched = Reflector(cast("Any", api), Selection(POD), lambda obj: obj, _Nowhere())
    watched.heard = began = time.monotonic() - 1000
    running = asyncio.create_task(watched.run())
    await asyncio.sleep(0.01)
    running.cancel()
    assert watched.heard - began == pytest.approx(1000 + sign, abs=0.5)
    assert str(watched) == "pods in all namespaces"


async def test_a_watch_that_hangs_gives_no_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "SILENCE", 0.01)  # which this one does not keep to
    watched = Reflector(cast("Any", _Api()), Selection(POD), lambda obj: obj, _Nowhere())
    running = asyncio.create_task(watched.run())
    await asyncio.sleep(0.05)
    heard = watched.heard
    await asyncio.sleep(0.05)
    running.cancel()
    assert watched.heard == heard


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


async def test_the_kubelet_is_told_in_sentences() -> None:
    found: list[str] = []
    runner = await endpoints.serve(0, lambda: False, lambda: found)
    port = next(address[1] for address in runner.addresses if address[0] == "0.0.0.0")
    url = f"http://127.0.0.1:{port}"
    assert await asyncio.to_thread(_get, f"{url}/healthz") == (200, "ok\n")
    found[:] = ["one hangs", "another too"]
    assert await asyncio.to_thread(_get, f"{url}/healthz") == (503, "one hangs\nanother too\n")
    code, text = await asyncio.to_thread(_get, f"{url}/readyz")
    assert (code, text) == (503, "the first lists are not complete\n")
    await runner.cleanup()
