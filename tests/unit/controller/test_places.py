"""Who is told of nodes and of what is taken of them, and how often."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from llmservice_operator import places
from llmservice_operator.api import LLMService
from llmservice_operator.placement import NodeFacts, Place, Scheduled
from llmservice_operator.places import Places
from llmservice_operator.records import Key
from llmservice_operator.store import Store

from tests.unit.controller.objects import pod

_X = Key("ns", "x")
_GPU = "nvidia.com/gpu"
_UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
_PAUSE = 0.02


def _service(count: int = 8) -> LLMService:
    spec = {"model": {"uri": "hf://a/b"}, "gpu": {"count": count}}
    return LLMService.parse({"metadata": {"name": "x", "namespace": "ns"}, "spec": spec})


def _node(name: str = "n") -> NodeFacts:
    room = {"cpu": 99_000, "memory": 2**40, "pods": 110, _GPU: 8}
    return NodeFacts(name, allocatable=room)


def _foreign(name: str, gpus: int, node: str = "n") -> Scheduled:
    return Scheduled(f"other/{name}", Place(node, ((_GPU, gpus),), ending=False))


def _waiting() -> Store:
    """A full node, and a pod that waits."""
    store = Store()
    store.put(pod(conditions=[_UNSCHEDULABLE]))
    store.replace_nodes([_node()])
    store.replace_foreign([_foreign("a", 5)])
    return store


@asynccontextmanager
async def _running(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Places, list[Key]]]:
    monkeypatch.setattr(places, "PAUSE", _PAUSE)
    told: list[Key] = []
    mine = Places(store, told.append, sees_nodes=True)
    task = asyncio.create_task(mine.run())
    yield mine, told
    task.cancel()


async def _looked() -> None:
    await asyncio.sleep(4 * _PAUSE)


async def test_a_place_that_becomes_free_is_told_at_once_and_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = _waiting()
    async with _running(store, monkeypatch) as (mine, told):
        assert mine.status(_X, _service())["roomFor"] == 0
        store.remove_foreign("other/a")
        await _looked()
        assert told == [_X]
        assert mine.status(_X, _service())["roomFor"] == 1
        store.remove_foreign("other/a")
        store.put_node(_node())
        await _looked()
        assert told == [_X]


async def test_a_number_alone_is_told_only_when_the_last_one_is_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = _waiting()
    async with _running(store, monkeypatch) as (mine, told):
        before = mine.status(_X, _service())
        assert "it has 3" in before["message"]
        store.put_foreign(_foreign("a", 7))
        await _looked()
        assert told == []
        assert mine.status(_X, _service()) == before

        monkeypatch.setattr(places, "FRESH", 0.1)
        store.put_foreign(_foreign("a", 6))
        async with asyncio.timeout(10):
            while not told:
                await asyncio.sleep(_PAUSE)
        assert told == [_X]
        assert "it has 2" in mine.status(_X, _service())["message"]


async def test_a_number_that_is_old_is_told_though_nothing_changes_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "FRESH", 0.3)
    store = _waiting()
    async with _running(store, monkeypatch) as (mine, told):
        mine.status(_X, _service())
        store.put_foreign(_foreign("a", 7))
        await _looked()
        assert told == []
        await asyncio.sleep(0.3)
        assert told == [_X]


async def test_a_busy_cluster_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    store = _waiting()
    async with _running(store, monkeypatch) as (mine, told):
        mine.status(_X, _service())
        for number in range(300):  # each of them news by itself
            store.put_foreign(_foreign("a", 5 if number % 2 else 0))
            await asyncio.sleep(0)
        assert len(told) <= 2


async def test_those_that_do_not_wait_hear_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store = _waiting()
    async with _running(store, monkeypatch) as (mine, told):
        mine.status(_X, _service())
        store.put(pod(version=2, ready=True))
        store.remove_foreign("other/a")
        store.put_node(_node("m"))
        await _looked()
        assert told == []


async def test_what_was_not_known_is_told_when_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    store.put(pod(conditions=[_UNSCHEDULABLE]))
    async with _running(store, monkeypatch) as (mine, told):
        found = mine.status(_X, _service())
        assert found.keys() == {"message"}
        assert "has not been able to list the nodes" in found["message"]
        store.replace_nodes([_node()])
        await _looked()
        assert told == [_X]
        assert mine.status(_X, _service()).keys() == {"message", "fittingNodes"}
        store.replace_foreign([])
        await _looked()
        assert mine.status(_X, _service())["roomFor"] == 1


def test_an_operator_of_single_namespaces_says_why_it_says_nothing() -> None:
    said = Places(Store(), lambda _: None, sees_nodes=False).status(_X, _service())
    assert said == {
        "message": "which nodes could hold a replica is not told: this operator is limited to "
        "single namespaces and may not see nodes"
    }


def test_another_spec_is_told_anew() -> None:
    mine = Places(_waiting(), lambda _: None, sees_nodes=True)
    assert mine.status(_X, _service())["roomFor"] == 0
    assert mine.status(_X, _service(3))["roomFor"] == 1
