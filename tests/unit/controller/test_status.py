"""From an observation to the status: how far it has come, in sentences with numbers."""

from dataclasses import replace
from typing import Any

import pytest
from llmservice_operator.api.conditions import Reason
from llmservice_operator.observed import Problem
from llmservice_operator.records import Loading
from llmservice_operator.status import Situation, compute

from tests.unit.controller.objects import child, deployment, observed, pod
from tests.unit.controller.statuses import NOW, SERVICE, status_of, verdicts, whole


def test_all_pods_answer() -> None:
    status = status_of(whole(pod("a", ready=True), pod("b", ready=True)))
    assert verdicts(status) == {
        "Ready": ("True", "Serving", "2 of 2 pods answer"),
        "Progressing": ("False", "UpToDate", "2 of 2 pods answer, all of the newest revision"),
        "Degraded": ("False", "AsExpected", "Nothing is wrong."),
        "Guarded": ("False", "OpenInCluster", verdicts(status)["Guarded"][2]),
    }
    assert status["observedGeneration"] == 1
    assert (status["url"], status["model"]) == ("http://x.ns.svc/v1", "x")


def test_one_of_two_answers_while_the_other_starts() -> None:
    told = verdicts(status_of(whole(pod("a", ready=True), pod("b"))))
    assert told["Ready"] == ("True", "PartlyServing", "1 of 2 pods answers")
    assert told["Progressing"][:2] == told["Reconciling"][:2] == ("True", "Starting")


@pytest.mark.parametrize(
    ("wanted", "pods", "ready", "progressing"),
    [
        (1, (pod("a"),), *2 * ("0 of 1 pod answer yet: it is loading the weights, 50 %",)),
        (
            2,
            (pod("a", ready=True), pod("b")),
            "1 of 2 pods answers",
            "1 of 2 pods answers yet: the newest is loading the weights, 50 %",
        ),
    ],
)
def test_what_a_pod_says_that_it_does_is_in_the_sentences(
    wanted: int, pods: tuple[Any, ...], ready: str, progressing: str
) -> None:
    seen = observed(child("Service"), deployment(wanted), pods=pods)
    said = Loading("Weights", NOW, 50)
    told = verdicts(compute(Situation(SERVICE, seen, (), None, NOW, said)))
    assert told["Ready"][2] == ready
    assert told["Progressing"][2] == told["Reconciling"][2] == progressing


def test_what_a_pod_says_that_it_does_is_told_with_its_start() -> None:
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": NOW}
    running = [{"state": {"running": {"startedAt": NOW}}}]
    starts = pod(created=NOW, conditions=[scheduled], containerStatuses=running)
    seen = whole(starts)
    assert "loading" not in status_of(seen)["startup"]
    said = Loading("Starting", NOW, None)
    told = compute(Situation(SERVICE, seen, (), None, NOW, said))["startup"]
    assert told == {**status_of(seen)["startup"], "loading": {"phase": "Starting", "since": NOW}}


def test_without_a_service_in_front_nothing_is_ready() -> None:
    seen = observed(deployment(1), pods=(pod(ready=True),))
    words = "1 of 1 pod answers, but the Service does not exist yet"
    assert verdicts(status_of(seen))["Ready"] == ("False", "NotWritten", words)


_RIGHT = Problem(Reason.RIGHT_MISSING, "what there is of it is not known")


@pytest.mark.parametrize(
    ("kind", "children", "pods", "answer"),
    [
        ("Pod", (child("Service"), deployment(2, readyReplicas=2)), (), "2 of 2 pods answer"),
        ("Service", (deployment(1),), (pod(ready=True),), "1 of 1 pod answers"),
        ("Deployment", (child("Service"),), (pod(ready=True),), "1 of 1 pod answers"),
    ],
)
def test_what_may_not_be_seen_is_not_told_to_be_away(
    kind: str, children: tuple[Any, ...], pods: tuple[Any, ...], answer: str
) -> None:
    seen = replace(observed(*children, pods=pods), unseen=frozenset({kind}))
    told = verdicts(status := status_of(seen, _RIGHT))
    assert told["Ready"] == ("True", "Serving", answer)
    assert told["Degraded"][:2] == ("True", "RightMissing")
    assert status["readyReplicas"] == status["replicas"]
    assert verdicts(status_of(observed(*children, pods=pods), _RIGHT))["Ready"][2] != answer


def test_a_pod_that_is_going_counts_no_more() -> None:
    seen = whole(pod("a", ready=True), pod("b", ready=True, going=True))
    assert status_of(seen)["readyReplicas"] == 1
    assert verdicts(status_of(seen))["Ready"][1] == "PartlyServing"


def test_a_rollout_under_way_counts_the_newest() -> None:
    seen = whole(pod("a", ready=True), pod("b", ready=True), replicas=3, updatedReplicas=1)
    told = verdicts(status_of(seen))
    assert told["Progressing"] == (
        "True",
        "RollingOut",
        "1 of 2 pods has the newest revision",
    )


def test_a_rollout_past_its_deadline_is_stalled_and_says_what_the_pods_suffer_from() -> None:
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    ended = {"terminated": {"exitCode": 2, "reason": "Error", "message": "bad max_model_len"}}
    broken = pod("b", containerStatuses=[{"state": ended}])
    told = verdicts(status_of(whole(pod("a", ready=True), broken, conditions=[late])))
    assert told["Ready"][0] == "True"
    assert told["Progressing"][:2] == ("False", "DeadlineExceeded")
    assert told["Stalled"][2].endswith("1 of 2 pods ended with exit code 2: bad max_model_len")
    assert "Reconciling" not in told


def test_what_stalls_is_told_before_what_may_pass() -> None:
    passing = Problem(Reason.SECRET_NOT_FOUND, "Secret s does not exist")
    stalling = Problem(Reason.NAME_CONFLICT, "Service x exists", stalled=True)
    told = verdicts(status_of(observed(), passing))
    assert told["Progressing"][:2] == ("True", "SecretNotFound")
    assert "Stalled" not in told
    told = verdicts(status_of(observed(), passing, stalling))
    assert told["Stalled"][0] == "True"
    assert told["Degraded"][2] == "Secret s does not exist; Service x exists"
    assert "Reconciling" not in told


def test_a_change_that_its_controller_has_not_seen_is_no_start() -> None:
    seen = whole(pod("a", ready=True), pod("b", ready=True), observedGeneration=0)
    told = verdicts(status_of(seen))
    assert told["Progressing"][:2] == told["Reconciling"][:2] == ("True", "Written")
    assert told["Ready"][:2] == ("True", "Serving")


def test_the_date_of_a_condition_moves_only_with_its_status() -> None:
    first = status_of(whole(pod("a"), pod("b")))
    half = observed(
        child("Service"), deployment(2), pods=(pod("a"), pod("b", ready=True)), status=first
    )
    later = status_of(half, now="2026-05-01T01:00:00Z")
    dates = {c["type"]: c["lastTransitionTime"] for c in later["conditions"]}
    assert dates["Ready"] == "2026-05-01T01:00:00Z"
    assert dates["Degraded"] == dates["Progressing"] == NOW
