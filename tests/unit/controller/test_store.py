"""The store: newer wins, a list shows what is gone, and each change names whom it concerns."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmservice_operator.placement import NodeFacts, Place, Scheduled
from llmservice_operator.records import Child, Key, Ref
from llmservice_operator.store import ON_ITS_WAY, Store

from tests.unit.controller.objects import child, pod, resource

_X = frozenset({Key("ns", "x")})
_SERVICE = Ref("Service", "ns", "x")

# An object that is made and deleted again and again: its states and its ends, by version.
_HISTORY = [("remove" if number % 3 == 0 else "put", number) for number in range(1, 13)]


def child_of_x(version: int) -> Child:
    return child("Service", version=version)


def test_a_change_concerns_the_owner_by_its_name() -> None:
    store = Store()
    assert store.put(resource()) == _X
    assert store.put(child("Service")) == _X
    assert store.put(pod()) == _X
    assert [c.ref for c in store.owned_by("u")] == [_SERVICE]
    assert [p.ref.name for p in store.pods(Key("ns", "x"))] == ["p"]


def test_an_object_without_an_owner_concerns_nobody() -> None:
    assert Store().put(child("Service", owner=None)) == frozenset()


def test_what_was_seen_before_changes_nothing_and_concerns_nobody() -> None:
    store = Store()
    written = child("Service", version=7)  # the answer to a write
    store.put(written)
    assert store.put(child("Service", version=7)) == frozenset()  # its echo
    assert store.put(child("Service", version=5)) == frozenset()  # one that was overtaken
    assert store.child(_SERVICE) is written


def test_an_old_deletion_does_not_remove_a_newer_object_of_the_name() -> None:
    store = Store()
    store.put(child("Service", version=9))
    assert store.remove(child("Service", version=8)) == frozenset()
    assert store.child(_SERVICE) is not None
    assert store.remove(child("Service", version=10)) == _X
    assert store.child(_SERVICE) is None
    assert store.owned_by("u") == []


def test_a_new_owner_replaces_the_old_one() -> None:
    store = Store()
    store.put(child("Service", version=1, owner="old"))
    store.put(child("Service", version=2, owner="new"))
    assert store.owned_by("old") == []
    assert [c.ref for c in store.owned_by("new")] == [_SERVICE]


def test_a_list_removes_what_it_lacks_and_spares_what_is_newer() -> None:
    store = Store()
    store.put(child("Service", "x", version=3))
    store.put(child("Service", "young", version=12))
    store.put(child("Deployment", "x", version=3))

    assert store.replace("Service", "", [], version=10) == _X

    assert store.child(_SERVICE) is None
    assert store.child(Ref("Service", "ns", "young")) is not None
    assert store.child(Ref("Deployment", "ns", "x")) is not None


def test_a_list_of_one_namespace_says_nothing_of_another() -> None:
    store = Store()
    store.put(resource(version=1))
    store.replace("LLMService", "other", [], version=10)
    assert store.everyone() == [Key("ns", "x")]
    store.replace("LLMService", "ns", [], version=10)
    assert store.everyone() == []


def _counting() -> tuple[Store, list[None]]:
    """A store, and a list with an entry for each time that something moved."""
    store, moved = Store(), list[None]()
    store.on_moved = lambda: moved.append(None)
    return store, moved


def test_a_heartbeat_of_a_node_is_no_news() -> None:
    store, moved = _counting()
    store.put_node(NodeFacts(name="n", allocatable={"nvidia.com/gpu": 8}))
    store.put_node(NodeFacts(name="n", allocatable={"nvidia.com/gpu": 8}))
    assert len(moved) == 1
    store.put_node(NodeFacts(name="n", allocatable={"nvidia.com/gpu": 7}))
    store.remove_node("n")
    store.remove_node("n")
    assert len(moved) == 3


def test_what_a_pod_takes_of_its_node_is_known_be_it_ours_or_not() -> None:
    store, moved = _counting()
    store.put(pod(version=1, on="n", gpus=2))
    store.put_foreign(Scheduled("other/p", Place("n", (("nvidia.com/gpu", 3),), ending=False)))
    assert store.taken.of("n") == {"pods": 2, "nvidia.com/gpu": 5}
    assert len(moved) == 2

    store.put(pod(version=2, on="n", gpus=2, ready=True))
    store.put_foreign(Scheduled("other/p", Place("n", (("nvidia.com/gpu", 3),), ending=False)))
    assert len(moved) == 2

    store.put_foreign(Scheduled("other/p", None))
    store.remove(pod(version=3, on="n", gpus=2))
    assert store.taken.of("n") == {}
    assert len(moved) == 4


def test_a_list_of_foreign_pods_removes_what_it_lacks() -> None:
    store = Store()
    place = Place("n", (("cpu", 1),), ending=False)
    assert not store.knows_foreign
    store.replace_foreign([Scheduled("a/a", place), Scheduled("a/b", place)])
    store.replace_foreign([Scheduled("a/b", place), Scheduled("a/c", place)])
    assert store.knows_foreign
    assert store.taken.of("n") == {"pods": 2, "cpu": 2}
    store.replace_foreign([])
    assert not store.taken


def test_only_those_whose_pods_found_no_node_wait_for_nodes() -> None:
    store = Store()
    store.put(pod("fine", ready=True))
    assert store.waiting_for_nodes() == frozenset()
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    store.put(pod("stuck", conditions=[unschedulable]))
    assert store.waiting_for_nodes() == _X


def test_nothing_is_kept_of_what_is_gone() -> None:
    store = Store()
    for number in range(50):
        for record in (resource(number), child("Service", version=number), pod(version=number)):
            store.put(record)
            store.remove(record)
    # and for a while that they went
    assert {name for name, kept in vars(store).items() if kept} == {"on_moved", "_gone"}


@pytest.mark.parametrize("record", [resource, child_of_x, pod], ids=lambda made: made.__name__)
def test_what_is_gone_does_not_come_back_with_an_answer_that_was_overtaken(
    record: Callable[..., Any],
) -> None:
    store = Store()
    store.put(record(version=5))
    store.remove(record(version=9))
    assert store.put(record(version=8)) == frozenset()  # the answer to a write before
    assert store.put(record(version=12)) == _X  # another of that name

    kind = {"resource": "LLMService", "child_of_x": "Service", "pod": "Pod"}[record.__name__]
    assert store.replace(kind, "", [], version=20) == _X
    assert store.put(record(version=19)) == frozenset()
    assert store.put(record(version=21)) == _X


@given(st.integers(1, 12).flatmap(lambda length: st.permutations(_HISTORY[:length] * 2)))
def test_in_whatever_order_it_hears_of_everything_it_ends_with_what_there_is(
    told: list[tuple[str, int]],
) -> None:
    store = Store()
    for what, version in told:
        getattr(store, what)(child("Service", version=version))
    last, version = max(told, key=lambda event: event[1])
    found = store.child(_SERVICE)
    assert (found and found.version) == (version if last == "put" else None)


def test_a_namespace_that_is_left_out_may_come_back_as_it_was() -> None:
    store = Store()
    store.put(resource(version=5))
    assert store.leave_out("other") == frozenset()
    assert store.leave_out("ns") == _X
    assert store.everyone() == []
    assert store.put(resource(version=5)) == _X


def test_what_went_is_known_while_something_may_be_on_its_way_and_not_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("llmservice_operator.store.time.monotonic", lambda: now)
    store = Store()
    for number in range(10_000):  # however many go
        store.remove(child("Service", f"s{number}", version=5))
    now += ON_ITS_WAY
    store.remove(child("Service", "later", version=5))
    assert store.put(child("Service", "s0", version=4)) == frozenset()
    now += 1
    store.remove(child("Service", "last", version=5))
    assert store.put(child("Service", "s0", version=4)) != frozenset()
    assert len(vars(store)["_gone"]) == 2


def test_a_kind_that_may_not_be_watched_concerns_everybody_there_once() -> None:
    store = Store()
    store.put(resource())
    assert store.refuse("Service", "other", "no") == frozenset()
    assert store.refuse("Service", "ns", "no") == _X
    assert store.refuse("Service", "ns", "no") == frozenset()
    assert store.unseen("ns") == {"Service": "no"}
    assert store.refuse("Service", "ns", "") == _X
    assert store.unseen("ns") == {}
