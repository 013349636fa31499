"""The status is written when it differs, and once a second for one resource at most."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmservice_operator import records, report
from llmservice_operator.api import Manifest
from llmservice_operator.client import ApiError
from llmservice_operator.kinds import Kind
from llmservice_operator.records import Key, Resource
from llmservice_operator.report import PAUSE, PROGRESS, Reporter
from llmservice_operator.status import is_news
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
        self.untold = 0.0  # seconds, the longest that there were news
        self.hurried = 0  # news that were told in the very reconcile that wrote children
        self.changes = 0
        self.others: Manifest = {}
        """What somebody else wrote into the status before the next write of ours."""
        self.sent: Manifest = {}
        self.refuses: ApiError | None = None
        self.is_there = True
        self._wanted: Manifest = {}
        self._news_since: float | None = None
        self.store = Store()
        self.store.put(resource(status={"observedGeneration": -1}))
        self.reporter = Reporter(cast("Any", self), self.store, cast("Any", self))
        self._due: float | None = None

    def monotonic(self) -> float:
        return self.now

    async def there(self, kind: Kind, namespace: str, name: str, uid: str) -> bool:
        assert (namespace, name, uid) == (*_KEY, "u")
        return self.is_there

    async def merge_status(self, *request: Any) -> Manifest:
        self.writes.append(self.now)
        self.sent = request[-1]
        if self.refuses:
            raise self.refuses
        others, self.others = self.others, {}
        return {"metadata": self._metadata(), "status": {**self._wanted, **others}}

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

    def waits(self) -> bool:
        return self._due is not None

    def status(self) -> Manifest:
        known = self.store.resource(_KEY)
        assert known is not None
        return known.status

    def come(self, seconds: float, wanted: Manifest, *, wrote: bool = False) -> None:
        """So much later the status should be this. Whoever is told to wait comes again then."""
        end = self.now + seconds
        while self._due is not None and self._due <= end:
            self.now, self._due = self._due, None
            self._reconcile()
        self.now, before = end, self._wanted
        self._wanted = {**wanted, "observedGeneration": self.generation}
        self.changes += self._wanted != before
        self._reconcile(wrote=wrote)

    def _reconcile(self, *, wrote: bool = False) -> None:
        known, written = self.store.resource(_KEY), len(self.writes)
        assert known is not None
        waited = self._news_since is not None
        self._note(news=is_news(known.status, self._wanted))
        came = self._news_since is not None and not waited
        wait = asyncio.run(self.reporter.report(known, self._wanted, wrote=wrote))
        self._due = self.now + wait if wait else None
        self._note(news=is_news(self.status(), self._wanted))
        self.hurried += wrote and came and len(self.writes) > written

    def _note(self, *, news: bool) -> None:
        """Are there news that are not told?"""
        since = self.now if self._news_since is None else self._news_since
        self.untold = max(self.untold, self.now - since)
        self._news_since = since if news else None


def _status(replicas: int, phase: str = "Ready", ready: str = "True") -> Manifest:
    condition = {"type": "Ready", "status": ready, "reason": "Serving", "message": "words"}
    startup = {"phase": phase} if phase == "Ready" else {"phase": phase, "since": "then"}
    return {"replicas": replicas, "startup": startup, "conditions": [condition]}


def _rollout(updated: int, progressing: str = "True") -> Manifest:
    words = {"status": progressing, "reason": "RollingOut", "message": f"{updated} of 1"}
    status = _status(1)
    conditions = [*status["conditions"], {"type": "Progressing", **words}]
    return {**status, "updatedReplicas": updated, "conditions": conditions}


_COMPLETE = _rollout(1, "False")


@pytest.fixture
def world() -> Iterator[_World]:
    with _time_of(_World()) as made:
        yield made


@contextmanager
def _time_of(world: _World) -> Iterator[_World]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(report, "time", world)
        yield world


_phases = st.sampled_from(["Pulling", "Loading", "Ready"])
_statuses = st.builds(_status, st.integers(0, 2), _phases, st.sampled_from(["True", "False"]))


def _seconds(most: float) -> st.SearchStrategy[float]:
    return st.floats(0, most).map(lambda s: round(s, 2))


@given(
    st.lists(
        st.tuples(_seconds(3), _statuses, st.booleans(), st.booleans()), min_size=1, max_size=20
    )
)
def test_writes_of_one_resource_are_a_second_apart_and_no_news_older_and_the_last_is_told(
    moments: list[tuple[float, Manifest, bool, bool]],
) -> None:
    with _time_of(_World()) as world:
        for seconds, wanted, edited, wrote in moments:
            if edited:
                world.edit()
            world.come(seconds, wanted, wrote=wrote)
        _, last, *_ = moments[-1]
        world.come(2 * PROGRESS, last)
        assert world.status() == {**last, "observedGeneration": world.generation}
        written = list(world.writes)
        world.come(1000, last)
    assert world.writes == written  # nothing changed, so nothing is written
    assert all(b - a > PAUSE - 0.001 for a, b in pairwise(written))
    assert world.untold < PAUSE + 0.001
    assert world.hurried == 0
    assert len(written) <= world.changes


_on_its_way = st.lists(
    st.tuples(_seconds(PROGRESS / 10), st.integers(0, 2), st.booleans()), min_size=1, max_size=9
)


@given(_on_its_way, st.booleans())
def test_what_is_on_its_way_for_a_short_time_costs_two_writes(
    steps: list[tuple[float, int, bool]],
    edited: bool,  # noqa: FBT001
) -> None:
    """From creation to Ready, or from an edit to the end of its rollout."""
    with _time_of(_World()) as world:
        if edited:
            world.come(0, _COMPLETE)
            world.come(60, _COMPLETE)
            world.edit()
        before = len(world.writes)
        for seconds, updated, wrote in steps:
            world.come(seconds, _rollout(updated), wrote=wrote)
        world.come(1, _COMPLETE)
        world.come(60, _COMPLETE)
        assert len(world.writes) <= before + 2


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
    world.come(0, _COMPLETE)
    world.come(60, _COMPLETE)
    before = len(world.writes)
    world.edit()
    for seconds, updated in ((0.1, 0), (0.5, 1), (2, 2), (2, 3)):
        world.come(seconds, _rollout(updated))
    world.come(8, _COMPLETE)
    assert len(world.writes) == before + 2


def test_a_long_rollout_is_told_of_while_it_lasts(world: _World) -> None:
    world.come(0, _COMPLETE)
    world.come(60, _COMPLETE)
    before = len(world.writes)
    world.edit()
    for pod in range(60):
        world.come(1, _rollout(pod))
    assert 4 <= len(world.writes) - before <= 5


def test_what_somebody_waits_for_is_told_at_once(world: _World) -> None:
    world.come(0, _status(1, ready="False"))
    world.come(2, _status(1, ready="False"))
    world.come(PAUSE, _status(1))
    assert world.writes[-1] == world.now


def test_edits_that_never_end_do_not_silence_the_status(world: _World) -> None:
    for _ in range(100):
        world.edit()
        world.come(0.3, _rollout(0), wrote=True)
    assert 20 <= len(world.writes) <= 31


def test_what_a_write_of_children_leads_to_is_told_a_second_later(world: _World) -> None:
    world.come(0, _status(1))
    for as_before in (_status(1), _status(2)):  # nothing comes of it, or nothing new
        world.come(2, _status(0, ready="False"), wrote=True)  # a child was gone, and is back
        world.come(PAUSE / 2, as_before)
    assert len(world.writes) == 1
    world.come(2, _status(0, ready="False"), wrote=True)
    world.come(PAUSE, _status(0, ready="False"))
    assert world.writes[1:] == [world.now]


def test_a_child_that_is_written_again_and_again_does_not_silence_the_status(world: _World) -> None:
    for number in range(100):
        world.come(0.3, _status(1, ready=f"{number}"), wrote=True)
    assert 20 <= len(world.writes) <= 31


def test_what_somebody_else_wrote_meanwhile_is_set_right_a_second_later(world: _World) -> None:
    world.come(5, {**_status(1), "url": "http://x"})
    world.others = {"url": "http://wrong"}
    world.come(5, {**_status(1, ready="False"), "url": "http://x"})
    assert world.status()["url"] == "http://wrong"
    assert world.waits()
    world.come(PAUSE, {**_status(1, ready="False"), "url": "http://x"})
    assert world.status()["url"] == "http://x"


def test_conditions_of_others_stay_and_are_not_taken_back_to_what_they_were(world: _World) -> None:
    world.come(5, _status(1, ready="False"))
    assert world.sent["metadata"] == {"uid": "u"}
    audited = {"type": "Audited", "status": "True"}
    status = {**world.status(), "conditions": [*world.status()["conditions"], audited]}
    world.store.put(resource(version=9, status=status))
    world.come(5, _status(1))
    assert audited in world.sent["status"]["conditions"]
    assert world.sent["metadata"] == {"uid": "u", "resourceVersion": "9"}


def test_what_the_server_makes_of_a_field_is_not_fought_over(world: _World) -> None:
    """An older schema drops what it does not know."""
    world.come(5, {**_status(1), "url": "http://x"})
    world.others = {"url": "http://shortened"}
    world.come(5, {**_status(1, ready="False"), "url": "http://y"})
    assert not world.waits()


_NOT_FOUND = ApiError(404, "Not Found", "404 page not found")


def test_what_is_there_is_not_taken_to_be_gone_for_an_answer_of_404(world: _World) -> None:
    """Its kind is not served for a moment, or a proxy answers."""
    world.refuses = _NOT_FOUND
    for _ in range(3):  # each is a failed try, after which the queue waits
        with pytest.raises(ApiError):
            world.come(60, _status(1))
    assert world.store.resource(_KEY) is not None
    world.refuses = None
    world.come(60, _status(1))
    assert world.status()["replicas"] == 1


def test_what_is_gone_though_no_event_said_so_is_written_to_once(world: _World) -> None:
    world.refuses, world.is_there = _NOT_FOUND, False
    before = world.store.resource(_KEY)
    assert before is not None
    assert asyncio.run(world.reporter.report(before, _status(1))) == 0
    assert world.store.resource(_KEY) is None
    assert world.store.put(before) == frozenset()  # an event that was overtaken
    assert len(world.writes) == 1
