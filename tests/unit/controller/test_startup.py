"""A cold start in phases: when each began while it lasts, how long it took once it has ended."""

from typing import Any

import pytest
from llmservice_operator import records
from llmservice_operator.api import Manifest
from llmservice_operator.status.startup import startup

from tests.unit.controller.objects import pod


def _at(second: int) -> str:
    return f"2026-05-01T00:{second // 60:02}:{second % 60:02}Z"


def _pod(
    *, name: str = "p", created: int = 0, scheduled: int = -1, running: int = -1, ready: int = -1
) -> records.Pod:
    told: Manifest = {}
    if running >= 0:
        told["containerStatuses"] = [{"state": {"running": {"startedAt": _at(running)}}}]
    moments = {"PodScheduled": scheduled, "Ready": ready}
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": _at(moment)}
        for kind, moment in moments.items()
        if moment >= 0
    ]
    begun = _at(created)
    return pod(name, ready=ready >= 0, created=begun, conditions=conditions, **told)


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (_pod(), {"phase": "Scheduling", "since": _at(0)}),
        (_pod(scheduled=2), {"phase": "Pulling", "since": _at(2), "schedulingSeconds": 2}),
        (
            _pod(scheduled=2, running=62),
            {"phase": "Loading", "since": _at(62), "schedulingSeconds": 2, "pullingSeconds": 60},
        ),
        (
            _pod(scheduled=2, running=62, ready=300),
            {
                "phase": "Ready",
                "schedulingSeconds": 2,
                "pullingSeconds": 60,
                "loadingSeconds": 238,
            },
        ),
        (
            _pod(scheduled=2, running=1, ready=3),  # the node's clock is behind
            {"phase": "Ready", "schedulingSeconds": 2, "pullingSeconds": 0, "loadingSeconds": 2},
        ),
    ],
)
def test_each_phase_has_its_start_and_then_its_seconds(seen: records.Pod, told: Manifest) -> None:
    assert startup([seen], None) == {"pod": "p", **told}


def test_a_pod_that_starts_comes_before_one_that_has_started() -> None:
    done = _pod(name="done", created=9, scheduled=9, running=9, ready=9)
    older, newer = _pod(name="older", created=1), _pod(name="newer", created=2)
    for pods, named in (
        ([done, newer, older], "newer"),
        ([done, older], "older"),
        ([done], "done"),
    ):
        assert (startup(pods, None) or {})["pod"] == named


def test_what_a_start_took_stays_when_the_pod_is_not_ready_for_a_while() -> None:
    took = startup([_pod(scheduled=2, running=62, ready=300)], None)
    assert startup([_pod(scheduled=2, running=62)], took) == took
    assert startup([_pod(scheduled=2, running=62, ready=900)], took) == took


def test_a_server_that_ended_or_was_restarted_is_no_start() -> None:
    ended = {"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    again = {"state": {"running": {"startedAt": _at(9)}}, "restartCount": 1}
    for face in (ended, again):
        assert startup([pod(created=_at(0), containerStatuses=[face])], None) is None
    assert startup([], None) is None


@pytest.mark.parametrize("before", [None, "garbage", [1], {"pod": "p"}, {"pod": 1, "phase": {}}])
def test_garbage_in_the_old_status_is_passed_over(before: Any) -> None:
    told = startup([_pod(scheduled=2)], before)
    assert told == {"pod": "p", "phase": "Pulling", "since": _at(2), "schedulingSeconds": 2}
