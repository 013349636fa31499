"""The status is written when it differs, and once a second for one resource at most."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmservice_operator import records, report
from llmservice_operator.api import Manifest
from llmservice_operator.records import Key, Resource
from llmservice_operator.report import PAUSE, PROGRESS, Reporter
from llmservice_operator.store import Store

from tests.unit.controller.objects import resource

_KEY = Key("ns", "x")


class _World:
    """A clock that nobody waits for, and a server that notes when it was written to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.writes: list[float] = []
        self.events = 0
        self.generation = 1
        self.store = Store()
        self.store.put(resource())
        self.reporter = Reporter(cast("Any", self), self.store, cast("Any", self))
        self._due: float | None = None

    def monotonic(self) -> float:
        return self.now

    async def merge_status(self, *_: object) -> Manifest:
        self.writes.append(self.now)
        return {"metadata": self._metadata(), "status": self._wanted}

    def edit(self) -> None:
        """Somebody writes another spec."""
        self.generation += 1
        self.store.put(records.resource({"metadata": self._metadata(), "status": self.status()}))

    def _metadata(self) -> Manifest:
        version = str(self.generation + len(self.writes))
        metadata = {"namespace": "ns", "name": "x", "uid": "u", "resourceVersion": version}
        return {**metadata, "generation": self.generation}

    def announce(self, _: Resource, changed: Sequence[Manifest]) -> None:
        self.events += len(changed)

    def status(self) -> Manifest:
        known = self.store.resource(_KEY)
        assert known is not None
        return known.status

    def come(self, seconds: float, wanted: Manifest, *, acted: bool = False) -> None:
        """So much later the status should be this. Whoever is told to wait comes again then."""
        end = self.now + seconds
        while self._due is not None and self._due <= end:
            self.now, self._due = self._due, None
            self._reconcile()
        self.now, self._wanted = end, wanted
        self._reconcile(acted=acted)

    def _reconcile(self, *, acted: bool = False) -> None:
        known = self.store.resource(_KEY)
        assert known is not None
        wait = asyncio.run(self.reporter.report(known, self._wanted, acted=acted))
        self._due = self.now + wait if wait else None


def _status(replicas: int, phase: str = "Ready", ready: str = "True") -> Manifest:
    condition = {"type": "Ready", "status": ready, "reason": "Serving", "message": "words"}
    startup = {"phase": phase} if phase == "Ready" else {"phase": phase, "since": "then"}
    return {"replicas": replicas, "startup": startup, "conditions": [condition]}


def _rollout(world: _World, updated: int, progressing: str = "True") -> Manifest:
    words = {"status": progressing, "reason": "RollingOut", "message": f"{updated} of 1"}
    status = _status(1)
    return {
        **status,
        "observedGeneration": world.generation,
        "updatedReplicas": updated,
        "conditions": [*status["conditions"], {"type": "Progressing", **words}],
    }


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> _World:
    made = _World()
    monkeypatch.setattr(report, "time", made)
    return made


_seconds = st.floats(0, 3).map(lambda s: round(s, 2))
_statuses = st.builds(_status, st.integers(0, 2), st.sampled_from(["Pulling", "Loading", "Ready"]))


@given(st.lists(st.tuples(_seconds, _statuses), min_size=1, max_size=20))
def test_writes_of_one_resource_are_a_second_apart_and_end_with_the_last_status(
    moments: list[tuple[float, Manifest]],
) -> None:
    world = _World()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(report, "time", world)
        for seconds, wanted in moments:
            world.come(seconds, wanted)
        last = moments[-1][1]
        world.come(2 * PROGRESS, last)
        assert world.status() == last
        written = list(world.writes)
        world.come(1000, last)
    assert world.writes == written  # nothing changed, so nothing is written
    assert all(b - a > PAUSE - 0.001 for a, b in pairwise(written))
    changes = sum(old != new for old, new in pairwise([{}, *(wanted for _, wanted in moments)]))
    assert len(written) <= changes


def test_a_short_phase_of_a_start_costs_no_write(world: _World) -> None:
    for phase in ("Scheduling", "Pulling", "Loading"):
        world.come(2, _status(0, phase, ready="False"))
    world.come(2, _status(1))
    assert len(world.writes) == 2
    assert world.events == 2


def test_a_long_phase_of_a_start_is_told(world: _World) -> None:
    for phase in ("Scheduling", "Pulling", "Loading"):
        world.come(60, _status(0, phase, ready="False"))
    world.come(60, _status(1))
    assert len(world.writes) == 4


def test_the_rollout_of_one_pod_costs_two_writes(world: _World) -> None:
    world.come(0, _rollout(world, 1, "False"))
    world.come(60, _rollout(world, 1, "False"))
    before = len(world.writes)
    world.edit()
    for seconds, updated in ((0.1, 0), (0.5, 1), (2, 2), (2, 3)):
        world.come(seconds, _rollout(world, updated))
    world.come(8, _rollout(world, 1, "False"))
    assert len(world.writes) == before + 2


def test_a_long_rollout_is_told_of_while_it_lasts(world: _World) -> None:
    world.come(0, _rollout(world, 1, "False"))
    world.come(60, _rollout(world, 1, "False"))
    before = len(world.writes)
    world.edit()
    for pod in range(60):
        world.come(1, _rollout(world, pod))
    assert 4 <= len(world.writes) - before <= 5


def test_what_somebody_waits_for_is_told_at_once(world: _World) -> None:
    world.come(0, _status(1, ready="False"))
    world.come(2, _status(1, ready="False"))
    world.come(PAUSE, _status(1))
    assert world.writes[-1] == world.now


def test_edits_that_never_end_do_not_silence_the_status(world: _World) -> None:
    for _ in range(100):
        world.edit()
        world.come(0.3, _rollout(world, 0))
    assert 25 <= len(world.writes) <= 31


def test_what_a_write_of_children_leads_to_is_told_a_second_later(world: _World) -> None:
    world.come(0, _status(1))
    world.come(60, _status(0, ready="False"), acted=True)  # a child was gone, and is back
    assert len(world.writes) == 1
    world.come(PAUSE, _status(0, ready="False"))
    assert world.writes[1:] == [world.now]


def test_a_child_that_is_written_again_and_again_does_not_silence_the_status(world: _World) -> None:
    for number in range(100):
        world.come(0.3, _status(1, ready=f"{number % 2 == 0}"), acted=True)
    assert 20 <= len(world.writes) <= 31
