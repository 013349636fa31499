"""Whatever happens in whatever order, the operator ends with what render wants, and nothing else.

Random edits, drift, foreign objects, crashes and failures at any write, changes between any two
writes of one reconcile and between a write and its answer, events that are lost, old or out of
order, lists that were overtaken, pods of older revisions that live on. In the end a reconcile runs
only where something asked for one: the store's news, or the reconcile before it.
"""

import asyncio
import functools
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from llmservice_operator import apply, contest, desired, records, report
from llmservice_operator.api import LLMService, Manifest
from llmservice_operator.client import ApiError
from llmservice_operator.kinds import CHILDREN, Kind
from llmservice_operator.ownership import covers, stamped
from llmservice_operator.render import render
from llmservice_operator.rollout import ref_of

from tests.length import lasting
from tests.unit.controller.world import DEFAULTS, RESOURCE, SPECS, World

_NAMED_LIKE_US = ["Service", "ServiceAccount", "PodDisruptionBudget", "HorizontalPodAutoscaler"]
_KINDS = list(CHILDREN)
_OPERATIONS = st.one_of(
    st.tuples(st.just("spec"), st.integers(0, len(SPECS) - 1)),
    st.tuples(st.just("delete"), st.booleans()),
    st.tuples(st.just("gc"), st.none()),
    st.tuples(st.just("occupy"), st.sampled_from(_NAMED_LIKE_US), st.booleans()),
    st.tuples(
        st.just("drift"),
        st.sampled_from(_KINDS),
        st.sampled_from(["delete", "edit", "add", "scale"]),
    ),
    st.tuples(st.just("hear"), st.booleans()),
    st.tuples(st.just("relist"), st.none()),
    st.tuples(st.just("stream"), st.integers(0, 9), st.integers(0, 99)),
    st.tuples(st.just("overtaken lists"), st.booleans()),
    st.tuples(st.just("pod"), st.booleans()),
    st.tuples(
        st.just("failure"),
        st.integers(1, 8),
        st.sampled_from([0, 403, 404, 409, 429, 500]),
        st.booleans(),
    ),
    st.tuples(st.just("late"), st.integers(1, 8)),
    st.tuples(st.just("reconcile"), st.none()),
    st.tuples(st.just("look and reconcile"), st.none()),
    st.tuples(st.just("crash"), st.integers(1, 8), st.booleans()),
    st.tuples(
        st.just("meanwhile"),
        st.integers(1, 8),
        st.booleans(),
        st.one_of(
            st.tuples(st.just("spec"), st.integers(0, len(SPECS) - 1)),
            st.tuples(st.just("delete"), st.booleans()),
            st.tuples(st.just("settle")),
        ),
    ),
)


async def _play(world: World, first: int, operations: list[tuple[Any, ...]]) -> None:
    world.write_spec(first)
    world.relist()
    await world.reconcile()
    for what, *how in operations:
        if "reconcile" in what:
            if "look" in what:
                world.relist()
            await world.reconcile()
        elif what == "crash":
            world.server.crash_in, world.server.tell_before_crash = how
            await world.reconcile()
            world.server.crash_in = None
        elif what == "failure":
            world.server.failure = cast("tuple[int, int, bool]", tuple(how))
            await world.reconcile()
            world.server.failure = None
        elif what == "late":
            world.server.late = how[0], world.lost_at_once
            await world.reconcile()
            world.server.late = None
        elif what == "meanwhile":
            number, quiet, change = how
            if quiet:  # or the end would have news, whatever was lost
                world.settle_deployments()
                world.relist()
            world.server.meanwhile = number, functools.partial(_happen, world, *change)
            await world.reconcile()
            world.server.meanwhile = None
        else:
            _happen(world, what, *how)


def _happen(world: World, what: str, *how: Any) -> None:  # noqa: C901 - a table
    match what:
        case "spec":
            world.write_spec(*how)
        case "delete":
            world.server.remove(RESOURCE)
            if how[0]:
                world.server.gc()
        case "gc":
            world.server.gc()
        case "occupy":
            world.occupy(how[0], labelled=how[1])
        case "drift":
            world.drift(*how)
        case "hear":
            world.hear(old=how[0])
        case "settle":
            world.settle_deployments()
        case "stream":
            world.stream(*how)
        case "overtaken lists":
            world.overtaken_lists(arrive=how[0])
        case "pod":
            world.start_pod() if how[0] else world.end_pods()
        case _:
            world.relist()


async def _end(world: World, *, lists: bool) -> int:
    """Quiet at last: garbage is collected, lists come, or events and no list. Returns the writes of
    the last round.
    """
    before = 0
    for number in range(12):
        before = world.server.writes
        world.server.gc()
        world.settle_deployments()
        world.relist() if lists else world.stream(0, number)
        if world.queue.due:
            await world.reconcile()
    return world.server.writes - before


# A rollout ends while a label of its Deployment is healed: the configuration before it has to go.
_ENDS_MEANWHILE: list[tuple[Any, ...]] = [
    ("meanwhile", 8, True, ("settle",)),
    ("spec", 3),
    ("look and reconcile", None),
    ("drift", "Deployment", "edit"),
    ("relist", None),
    ("meanwhile", 1, False, ("settle",)),
]

# A child is deleted, brought back and deleted; both ends are heard, then the first again, and then
# how it was between them.
_AN_END_AGAIN: list[tuple[Any, ...]] = [
    ("stream", 0, 1),
    ("reconcile", None),
    ("drift", "Service", "delete"),
    ("stream", 0, 1),
    ("reconcile", None),
    ("drift", "Service", "delete"),
    ("stream", 3, 2),
]


@pytest.mark.timeout(lasting(300, 3600))
@example(first=0, operations=[("meanwhile", 1, True, ("spec", 1))], lists=True)
@example(first=0, operations=_ENDS_MEANWHILE, lists=True)
@example(first=0, operations=_AN_END_AGAIN, lists=False)
@settings(max_examples=lasting(150, 5000), deadline=None)
@given(
    first=st.integers(0, len(SPECS) - 1),
    operations=st.lists(_OPERATIONS, max_size=20),
    lists=st.booleans(),
)
def test_it_ends_with_what_render_wants_and_touches_nothing_else(
    first: int, operations: list[tuple[Any, ...]], *, lists: bool
) -> None:
    # There is no clock in here.
    pause, report.PAUSE = report.PAUSE, 0.0
    at_once, contest.AT_ONCE, apply.AT_ONCE = contest.AT_ONCE, 1000, 1000
    try:
        _check(first, operations, lists=lists)
    finally:
        report.PAUSE = pause
        contest.AT_ONCE = apply.AT_ONCE = at_once


def _check(first: int, operations: list[tuple[Any, ...]], *, lists: bool) -> None:
    world = World()
    asyncio.run(_play(world, first, operations))
    last_writes = asyncio.run(_end(world, lists=lists))

    assert last_writes == 0, "it writes on and on"
    fell_to_one = ("Deployment", ("spec", "replicas"))
    assert fell_to_one not in world.server.orphaned
    for name, was in world.foreign.items():
        assert world.server.shown(name) == was, f"{name} is not ours and was changed"
    if RESOURCE not in world.server.objects:
        assert set(world.server.objects) == set(world.foreign)
        return
    resource = world.server.shown(RESOURCE)
    try:
        service = LLMService.parse(resource)
    except ValueError:
        stalled = [c for c in resource["status"]["conditions"] if c["type"] == "Stalled"]
        assert [c["reason"] for c in stalled] == ["InvalidSpec"]
        return
    wanted = {ref_of(m): stamped(m) for m in render(service, DEFAULTS)}
    names = {(ref.kind, ref.name) for ref in wanted}
    # Pods never run as somebody else's account: the Deployment, and what goes by it, has to wait.
    account_taken = ("ServiceAccount", "x") in world.foreign
    waiting = {"Deployment", "HorizontalPodAutoscaler", "ConfigMap"} if account_taken else set()
    ours = set(world.server.objects) - set(world.foreign) - {RESOURCE}
    kept = {("ConfigMap", pod.removeprefix("pod-")) for pod in world.pods}
    assert {n for n in ours ^ names if n[0] not in waiting} <= set(world.foreign) | kept
    assert names & kept <= ours
    for ref, manifest in wanted.items():
        if (ref.kind, ref.name) not in world.foreign and ref.kind not in waiting:
            shown = world.server.shown((ref.kind, ref.name))
            assert covers(records.child(shown).owned, manifest)
            content = {k: v for k, v in manifest.items() if k != "apiVersion"}
            assert _within(content, shown), f"{ref} is not what render wants"
    conflict = [c for c in resource["status"]["conditions"] if c["reason"] == "NameConflict"]
    reachable = {name for name in names & set(world.foreign) if name[0] not in waiting}
    assert bool(conflict) == bool(reachable)


def _within(wanted: Any, there: Any) -> bool:
    if isinstance(wanted, dict):
        return all(_within(value, (there or {}).get(name)) for name, value in wanted.items())
    return wanted == there


@pytest.mark.parametrize("number", range(1, 6))
def test_what_is_gone_before_the_answer_to_its_write_is_here_is_written_again(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "PAUSE", 0.0)
    world = World()
    world.write_spec(0)
    world.relist()
    world.server.late = number, world.lost_at_once
    for _ in range(6):  # events only: no list comes to show what is not there
        asyncio.run(world.reconcile())
        world.hear(old=False)
        assert world.server.late is None
    assert len(world.server.objects) == 6  # five children and the resource


def test_a_fault_of_our_own_becomes_a_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*_: object) -> list[Manifest]:
        raise ZeroDivisionError

    monkeypatch.setattr(desired, "render", faulty)
    monkeypatch.setattr(report, "PAUSE", 0.0)
    world = World()
    world.write_spec(0)
    world.relist()
    asyncio.run(world.reconcile())
    conditions = world.server.shown(RESOURCE)["status"]["conditions"]
    (stalled,) = (c for c in conditions if c["type"] == "Stalled")
    assert stalled["reason"] == "InternalError"
    assert "ZeroDivisionError" in stalled["message"]


@pytest.mark.parametrize(
    ("code", "soon", "untold"), [(0, 10.0, 2), (500, 10.0, 2), (503, 10.0, 2), (0, 0.0, 0)]
)
def test_a_write_that_fails_again_and_again_or_slowly_is_told_and_one_that_fails_once_is_not(
    code: int, soon: float, untold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "PAUSE", 0.0)
    monkeypatch.setattr(apply, "SOON", soon)
    world = World()
    world.write_spec(0)
    world.relist()
    applied = world.server.apply

    async def failing(kind: Kind, obj: Manifest) -> Manifest:
        if kind.name == "Service":
            raise ApiError(code, "InternalError", "failed calling webhook")
        return await applied(kind, obj)

    def degraded() -> list[tuple[str, str]]:
        conditions = world.server.shown(RESOURCE)["status"].get("conditions", ())
        return [(c["reason"], c["message"]) for c in conditions if c["type"] == "Degraded"]

    monkeypatch.setattr(world.server, "apply", failing)
    told: list[list[tuple[str, str]]] = []
    for _ in range(3):
        asyncio.run(world.reconcile())
        assert world.queue.due
        told.append(degraded())
    words = "Service x cannot be written: failed calling webhook"
    assert told == [[]] * untold + [[("ApiFailed", words)]] * (3 - untold)

    monkeypatch.setattr(world.server, "apply", applied)
    asyncio.run(world.reconcile())
    assert degraded() == [("AsExpected", "Nothing is wrong.")]
