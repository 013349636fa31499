"""From an observation to the status: conditions, their reasons, and sentences with numbers."""

from dataclasses import replace
from typing import Any

import pytest
from llmservice_operator.api import LLMService, Manifest
from llmservice_operator.api.conditions import Reason
from llmservice_operator.observed import Observed, Problem
from llmservice_operator.records import Loading
from llmservice_operator.status import Situation, compute, due, merge_patch, transitions

from tests.unit.controller.objects import child, deployment, observed, pod

_NOW = "2026-05-01T00:00:00Z"
_SERVICE = LLMService.parse(
    {"metadata": {"name": "x", "namespace": "ns"}, "spec": {"model": {"uri": "hf://a/b"}}}
)


def _status(seen: Observed, *problems: Problem, now: str = _NOW, **placement: Any) -> Manifest:
    return compute(Situation(_SERVICE, seen, problems, placement or None, now))


def _told(status: Manifest) -> dict[str, tuple[str, str, str]]:
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in status["conditions"]}


def _whole(*pods: Any, **status: Any) -> Observed:
    return observed(child("Service"), deployment(2, **status), pods=pods)


def test_all_pods_answer() -> None:
    status = _status(_whole(pod("a", ready=True), pod("b", ready=True)))
    assert _told(status) == {
        "Ready": ("True", "Serving", "2 of 2 pods answer"),
        "Progressing": ("False", "UpToDate", "2 of 2 pods answer, all of the newest revision"),
        "Degraded": ("False", "AsExpected", "Nothing is wrong."),
    }
    assert status["observedGeneration"] == 1
    assert (status["url"], status["model"]) == ("http://x.ns.svc/v1", "x")


def test_one_of_two_answers_while_the_other_starts() -> None:
    told = _told(_status(_whole(pod("a", ready=True), pod("b"))))
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
    said = Loading("Weights", _NOW, 50)
    told = _told(compute(Situation(_SERVICE, seen, (), None, _NOW, said)))
    assert told["Ready"][2] == ready
    assert told["Progressing"][2] == told["Reconciling"][2] == progressing


def test_what_a_pod_says_that_it_does_is_told_with_its_start() -> None:
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": _NOW}
    running = [{"state": {"running": {"startedAt": _NOW}}}]
    starts = pod(created=_NOW, conditions=[scheduled], containerStatuses=running)
    seen = _whole(starts)
    assert "loading" not in _status(seen)["startup"]
    said = Loading("Starting", _NOW, None)
    told = compute(Situation(_SERVICE, seen, (), None, _NOW, said))["startup"]
    assert told == {**_status(seen)["startup"], "loading": {"phase": "Starting", "since": _NOW}}


def test_without_a_service_in_front_nothing_is_ready() -> None:
    seen = observed(deployment(1), pods=(pod(ready=True),))
    words = "1 of 1 pod answers, but the Service does not exist yet"
    assert _told(_status(seen))["Ready"] == ("False", "NotWritten", words)


def test_a_pod_that_is_going_counts_no_more() -> None:
    seen = _whole(pod("a", ready=True), pod("b", ready=True, going=True))
    assert _status(seen)["readyReplicas"] == 1
    assert _told(_status(seen))["Ready"][1] == "PartlyServing"


def test_a_rollout_under_way_counts_the_newest() -> None:
    seen = _whole(pod("a", ready=True), pod("b", ready=True), replicas=3, updatedReplicas=1)
    told = _told(_status(seen))
    assert told["Progressing"] == (
        "True",
        "RollingOut",
        "1 of 2 pods has the newest revision",
    )


def test_a_rollout_past_its_deadline_is_stalled_and_says_what_the_pods_suffer_from() -> None:
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    ended = {"terminated": {"exitCode": 2, "reason": "Error", "message": "bad max_model_len"}}
    broken = pod("b", containerStatuses=[{"state": ended}])
    told = _told(_status(_whole(pod("a", ready=True), broken, conditions=[late])))
    assert told["Ready"][0] == "True"
    assert told["Progressing"][:2] == ("False", "DeadlineExceeded")
    assert told["Stalled"][2].endswith("1 of 2 pods ended with exit code 2: bad max_model_len")
    assert "Reconciling" not in told


def test_what_stalls_is_told_before_what_may_pass() -> None:
    passing = Problem(Reason.SECRET_NOT_FOUND, "Secret s does not exist")
    stalling = Problem(Reason.NAME_CONFLICT, "Service x exists", stalled=True)
    told = _told(_status(observed(), passing))
    assert told["Progressing"][:2] == ("True", "SecretNotFound")
    assert "Stalled" not in told
    told = _told(_status(observed(), passing, stalling))
    assert told["Stalled"][0] == "True"
    assert told["Degraded"][2] == "Secret s does not exist; Service x exists"
    assert "Reconciling" not in told


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("ImagePullFailed", {"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
        (
            "ImagePullFailed",
            {
                "waiting": {
                    "reason": "ImagePullBackOff",
                    "message": 'Back-off pulling image "i": ErrImagePull: not found',
                }
            },
        ),
    ],
)
def test_both_faces_of_one_failing_pull_give_the_same_words(reason: str, state: Manifest) -> None:
    told = _told(_status(_whole(pod(containerStatuses=[{"state": state}]))))
    assert told["Degraded"] == (
        "True",
        reason,
        "the pod cannot pull the image server:1: not found",
    )


def test_a_crashing_server_gives_the_same_words_whether_it_waits_runs_or_has_just_ended() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "boom"}}
    words = "the pod ended with exit code 1: boom"
    assert _degraded(ended, 1) == {("True", "Crashed", words)}
    assert _degraded(ended, 2, 3, 4) == {("True", "CrashLooping", words)}


def _degraded(ended: Manifest, *restarts: int) -> set[tuple[str, str, str]]:
    """All that is said while a container that ends like this is restarted so often."""
    faces: list[Manifest] = [
        {"state": ended},
        {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended},
        {"state": {"running": {}}, "lastState": ended},
    ]
    counted = [{**face, "restartCount": number} for face in faces for number in restarts]
    return {_told(_status(_whole(pod(containerStatuses=[c]))))["Degraded"] for c in counted}


def test_a_server_that_is_restarted_without_an_error_is_told_with_how_often() -> None:
    ended = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    why = "for no error of its own: it starts too slowly, hangs, or just ends"
    assert _degraded(ended, 0) == {("False", "AsExpected", "Nothing is wrong.")}
    assert _degraded(ended, 1) == {("True", "NotAnswering", f"the pod was restarted once, {why}")}
    for counts in ((2, 3), (4, 5, 7), (8, 15)):
        words = f"the pod was restarted {counts[0]} times or more, {why}"
        assert _degraded(ended, *counts) == {("True", "NotAnswering", words)}


def test_a_container_that_is_there_to_end_has_ended_well() -> None:
    ended = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    prepared = pod(initContainerStatuses=[{"state": ended, "restartCount": 1}])
    assert _told(_status(_whole(prepared)))["Degraded"][0] == "False"


def test_a_server_that_crashed_once_and_answers_now_is_fine() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    healed = pod(ready=True, containerStatuses=[{"state": {"running": {}}, "lastState": ended}])
    assert _told(_status(_whole(healed)))["Degraded"][0] == "False"


def test_an_old_exit_is_history_once_the_server_has_started_again() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    face = {"state": {"running": {}}, "lastState": ended, "started": True}
    told = _told(_status(_whole(pod("a", ready=True), pod("b", containerStatuses=[face]))))
    assert told["Degraded"][0] == "False"
    assert told["Ready"][1] == "PartlyServing"


def test_an_evicted_pod_is_not_counted_and_not_a_trouble() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "Error"}}
    evicted = pod("z", phase="Failed", reason="Evicted", containerStatuses=[{"state": ended}])
    told = _told(_status(_whole(pod("a", ready=True), pod("b", ready=True), evicted)))
    assert told["Degraded"][0] == "False"
    assert told["Ready"][1] == "Serving"


_LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
_NO_PODS = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota " * 100}


def test_what_a_deployment_told_of_an_older_change_is_history() -> None:
    ready = (pod("a", ready=True), pod("b", ready=True))
    told = _told(_status(_whole(*ready, conditions=[_LATE, _NO_PODS])))
    assert told["Stalled"][1] == "DeadlineExceeded"
    told = _told(_status(_whole(*ready, conditions=[_LATE, _NO_PODS], observedGeneration=0)))
    assert "Stalled" not in told
    assert told["Degraded"][0] == "False"
    missing = Problem(Reason.SECRET_NOT_FOUND, "Secret s does not exist")  # so nothing is written
    told = _told(_status(_whole(*ready, conditions=[_LATE]), missing))
    assert "Stalled" not in told
    assert told["Progressing"][:2] == ("True", "SecretNotFound")


def test_pods_that_are_refused_are_told_in_few_words() -> None:
    told = _told(_status(_whole(conditions=[_NO_PODS])))
    assert told["Degraded"][1] == "PodsRefused"
    assert len(told["Degraded"][2]) < 600


@pytest.mark.parametrize(
    ("there", "who"), [(0, "2 of 2 pods are"), (1, "1 of 2 pods is"), (2, "a new pod is")]
)
def test_pods_that_are_refused_are_counted_and_never_named(there: int, who: str) -> None:
    told: set[str] = set()
    for name in ("x-5d8c-4jq2v", "x-5d8c-z9k7w"):
        words = f'pods "{name}" is forbidden: exceeded quota: q, used: pods=1, limited: pods=1'
        failure = {"type": "ReplicaFailure", "status": "True", "message": words}
        seen = _whole(conditions=[failure], replicas=there)
        told.add(_told(_status(seen))["Degraded"][2])
    assert told == {f"{who} refused: exceeded quota: q, used: pods=1, limited: pods=1"}


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (
            {"memory": "8Gi"},
            (
                "the pod was ended for using more memory than its limit of 8Gi: "
                "raise pod.resources.limits.memory, or let the engine use less"
            ),
        ),
        (
            {},
            (
                "the pod was ended because its node ran out of memory: "
                "write what it needs in pod.resources.requests.memory, or let the engine use less"
            ),
        ),
    ],
)
def test_a_server_out_of_memory_is_told_with_whose_memory(limits: Manifest, words: str) -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    broken = pod(limits=limits, containerStatuses=[{"state": ended}])
    assert _told(_status(_whole(broken)))["Degraded"] == ("True", "OutOfMemory", words)


_BLIND = {
    "type": "ScalingActive",
    "status": "False",
    "reason": "FailedGetResourceMetric",
    "message": "the HPA was unable to compute the replica count: no metrics known",
    "lastTransitionTime": "2026-04-30T23:50:00Z",
}


def _scaled(*conditions: Manifest, ready_since: str = "2026-04-30T23:55:00Z") -> Observed:
    told = {"currentReplicas": 1, "conditions": list(conditions)}
    answers = {"type": "Ready", "status": "True", "lastTransitionTime": ready_since}
    return observed(
        child("Service"),
        child("HorizontalPodAutoscaler", status=told),
        deployment(1),
        pods=(pod(ready=True, conditions=[answers]),),
    )


def test_an_autoscaler_that_cannot_read_its_metric_is_told_while_the_pods_serve() -> None:
    told = _told(_status(_scaled(_BLIND)))
    words = "the autoscaler cannot read its metric, so the replicas stay 1: no metrics known"
    assert told["Degraded"] == ("True", "AutoscalerFailing", words)
    assert told["Ready"][:2] == ("True", "Serving")
    able = {**_BLIND, "status": "True"}
    assert _told(_status(_scaled(able)))["Degraded"][0] == "False"
    unable = {**_BLIND, "type": "AbleToScale", "message": "the HPA controller was unable to: boom"}
    assert _told(_status(_scaled(able, unable)))["Degraded"][2] == (
        "the autoscaler cannot scale, so the replicas stay 1: boom"
    )


def test_a_pod_that_just_became_ready_has_no_metrics_and_that_is_no_trouble() -> None:
    fresh = Situation(_SERVICE, _scaled(_BLIND, ready_since="2026-04-30T23:59:30Z"), (), None, _NOW)
    assert _told(compute(fresh))["Degraded"][0] == "False"
    assert due(fresh) == 90
    later = replace(fresh, now="2026-05-01T00:01:30Z")
    assert _told(compute(later))["Degraded"][1] == "AutoscalerFailing"
    assert due(later) == 0


def _budgeted(*ready: bool, wants: int, **written: Any) -> tuple[LLMService, Observed]:
    spec = {"model": {"uri": "hf://a/b"}, "disruption": written}
    service = LLMService.parse({"metadata": {"name": "x", "namespace": "ns"}, "spec": spec})
    allowed = max(sum(ready) - wants, 0)
    told = {"disruptionsAllowed": allowed, "desiredHealthy": wants, "expectedPods": len(ready)}
    budget = child("PodDisruptionBudget", status={"observedGeneration": 1, **told})
    pods = tuple(pod(str(number), ready=answers) for number, answers in enumerate(ready))
    return service, observed(child("Service"), budget, deployment(len(ready)), pods=pods)


def _of_budget(service: LLMService, seen: Observed) -> tuple[str, str, str]:
    return _told(compute(Situation(service, seen, (), None, _NOW)))["Degraded"]


def test_a_budget_that_no_drain_gets_past_is_told_with_what_to_write() -> None:
    assert _of_budget(*_budgeted(True, True, wants=2, minAvailable=2)) == (
        "True",
        "DisruptionBlocked",
        (
            "the PodDisruptionBudget wants 2 of 2 pods to stay, so that no node with one can be "
            "drained: write disruption.maxUnavailable: 1, or more replicas"
        ),
    )
    assert _of_budget(*_budgeted(True, True, wants=1, minAvailable=1))[0] == "False"


def test_a_budget_that_is_meant_to_let_no_pod_go_is_no_trouble() -> None:
    assert _of_budget(*_budgeted(True, True, wants=2, maxUnavailable=0))[0] == "False"


def test_a_budget_that_a_broken_pod_uses_up_is_told_with_what_broke_it() -> None:
    service, seen = _budgeted(True, False, wants=1)
    assert _of_budget(service, seen)[0] == "False"  # it is on its way
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    broken = pod("1", containerStatuses=[{"state": ended}])
    told = _of_budget(service, replace(seen, pods=(seen.pods[0], broken)))
    assert told[1] == "Crashed"
    assert told[2] == (
        "1 of 2 pods ended with exit code 1; the PodDisruptionBudget wants 1 of 2 pods to stay, "
        "so that until more answer no node with one that does can be drained"
    )


def test_a_change_that_its_controller_has_not_seen_is_no_start() -> None:
    seen = _whole(pod("a", ready=True), pod("b", ready=True), observedGeneration=0)
    told = _told(_status(seen))
    assert told["Progressing"][:2] == told["Reconciling"][:2] == ("True", "Written")
    assert told["Ready"][:2] == ("True", "Serving")


def test_an_unschedulable_pod_is_told_by_placement_where_nodes_are_known() -> None:
    stuck = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}
    seen = _whole(pod("a", conditions=[stuck]), pod("b", conditions=[stuck]))
    told = _told(_status(seen))
    assert told["Degraded"][2] == "2 of 2 pods cannot be scheduled: 0/3"
    told = _told(_status(seen, fittingNodes=0, message="no node has GPUs"))
    assert told["Degraded"][2] == "2 of 2 pods cannot be scheduled: no node has GPUs"


@pytest.mark.parametrize(
    ("placement", "told"),
    [
        ({"fittingNodes": 1, "roomFor": 2, "message": "ours"}, "0/1: unbound claims"),
        ({"fittingNodes": 1, "message": "what runs is not known"}, "0/1: unbound claims"),
        ({"message": "nodes are not known"}, "0/1: unbound claims"),
        ({"fittingNodes": 1, "roomFor": 0, "message": "1 node is full"}, "1 node is full"),
    ],
)
def test_where_a_replica_would_fit_the_scheduler_says_why_it_does_not(
    placement: dict[str, Any], told: str
) -> None:
    said = "0/1: unbound claims"
    stuck = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    seen = _whole(pod("a", conditions=[stuck]))
    degraded = _told(_status(seen, **placement))["Degraded"]
    assert degraded[2] == f"the pod cannot be scheduled: {told}"


def test_the_date_of_a_condition_moves_only_with_its_status() -> None:
    first = _status(_whole(pod("a"), pod("b")))
    half = observed(
        child("Service"), deployment(2), pods=(pod("a"), pod("b", ready=True)), status=first
    )
    later = _status(half, now="2026-05-01T01:00:00Z")
    dates = {c["type"]: c["lastTransitionTime"] for c in later["conditions"]}
    assert dates["Ready"] == "2026-05-01T01:00:00Z"
    assert dates["Degraded"] == dates["Progressing"] == _NOW


def test_the_same_observation_gives_no_patch() -> None:
    seen = _whole(pod("a", ready=True))
    status = _status(seen)
    again = Observed(seen.resource, seen.children, seen.pods)
    known = observed(*again.children, pods=again.pods, status=status)
    assert merge_patch(status, _status(known, now="2027-01-01T00:00:00Z")) == {}


@pytest.mark.parametrize("garbage", [{"conditions": "none"}, {"conditions": [1, {}]}, {"x": [1]}])
def test_garbage_in_the_old_status_is_replaced(garbage: Manifest) -> None:
    seen = observed(child("Service"), deployment(1), pods=(pod(ready=True),), status=garbage)
    status = _status(seen)
    assert _told(status)["Ready"][0] == "True"
    assert merge_patch(garbage, status)["conditions"] == status["conditions"]


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": None}}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}),
        ({"a": 0}, {"a": 0}, {}),
        ({"a": {"b": 1}}, {"a": 1}, {"a": 1}),
    ],
)
def test_the_patch_holds_only_what_differs(old: Manifest, new: Manifest, patch: Manifest) -> None:
    assert merge_patch(old, new) == patch


def test_only_a_changed_verdict_is_news() -> None:
    def with_message(words: str, status: str = "True") -> Manifest:
        condition = {"type": "Ready", "status": status, "reason": "Serving", "message": words}
        return {"conditions": [condition]}

    assert transitions(with_message("1 of 2"), with_message("2 of 2")) == []
    assert len(transitions(with_message("a"), with_message("a", status="False"))) == 1
    assert len(transitions({}, with_message("a"))) == 1
