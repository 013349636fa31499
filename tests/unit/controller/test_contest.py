"""A child that somebody changes again and again is not fought for, and who it is is told."""

import json

import pytest
from llmservice_operator import contest
from llmservice_operator.contest import AT_ONCE, CALM, LONGEST_PAUSE, Contest, last_writer
from llmservice_operator.ownership import lost
from llmservice_operator.records import Ref

_REF = Ref("Service", "ns", "x")


class _Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(contest, "time", clock)
    return clock


def test_the_first_times_it_is_taken_back_at_once_and_nothing_is_told(clock: _Clock) -> None:
    fight = Contest()
    for _ in range(AT_ONCE - 1):
        assert not fight.waits()
        fight.taken_back()
        assert fight.told(_REF) is None


def test_against_one_that_never_stops_it_writes_once_a_minute_in_the_end(clock: _Clock) -> None:
    fight, written = Contest(), list[float]()
    for second in range(600):
        clock.now = 1000.0 + second
        if not fight.waits():
            fight.taken_back()
            written.append(clock.now)
    assert sum(at < 1060 for at in written) <= AT_ONCE + 6
    assert {b - a for a, b in zip(written[-5:], written[-4:], strict=False)} == {LONGEST_PAUSE}
    problem = fight.told(_REF)
    assert problem is not None
    assert problem.again == written[-1] + LONGEST_PAUSE - clock.now


def test_it_is_over_once_the_other_has_stopped_for_a_while(clock: _Clock) -> None:
    fight = Contest(words="is changed")
    for _ in range(AT_ONCE):
        fight.taken_back()
    problem = fight.told(_REF)
    assert problem is not None
    assert problem.message.startswith("Service x is changed; ")
    clock.now += problem.again
    assert not fight.waits()
    problem = fight.told(_REF)
    assert problem is not None
    clock.now += problem.again
    assert clock.now == 1000.0 + CALM
    assert fight.told(_REF) is None
    assert not fight.waits()
    fight.taken_back()
    assert fight.times == 1


def test_the_other_is_who_wrote_last_but_neither_we_nor_a_status() -> None:
    entries = [
        {"manager": "llmservice-operator", "time": "2026-01-01T00:00:09Z"},
        {"manager": "first", "time": "2026-01-01T00:00:01Z"},
        {"manager": "last", "time": "2026-01-01T00:00:05Z"},
        {"manager": "controller", "time": "2026-01-01T00:00:08Z", "subresource": "status"},
    ]
    assert last_writer(entries) == "last"
    assert last_writer([]) == "somebody"


def test_a_field_that_was_lost_is_named() -> None:
    manifest = {
        "apiVersion": "v1",
        "metadata": {"name": "x", "labels": {"a": "b"}},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "server"}]}}},
    }
    containers = {'k:{"name":"server"}': {".": {}, "f:name": {}}}
    template = {"f:spec": {"f:containers": containers}}
    spec = {"f:replicas": {}, "f:template": template}
    owned = {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": spec}
    cases = [
        (owned, ""),
        ({**owned, "f:spec": {"f:template": template}}, "spec.replicas"),
        ({**owned, "f:metadata": {"f:labels": {"f:b": {}}}}, "metadata.labels.a"),
        ({**owned, "f:spec": {"f:replicas": {}}}, "spec.template"),
    ]
    without = {**spec, "f:template": {"f:spec": {"f:containers": {"k:{}": {"f:image": {}}}}}}
    for tree, field in [*cases, ({**owned, "f:spec": without}, "spec.template.spec.containers")]:
        assert lost(json.dumps(tree).encode(), manifest) == field
