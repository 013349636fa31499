"""What the cluster's own controllers tell of the children, and what the status makes of it."""

from dataclasses import replace
from typing import Any

import pytest
from llmservice_operator.api import LLMService, Manifest
from llmservice_operator.api.conditions import Reason
from llmservice_operator.observed import Observed, Problem
from llmservice_operator.status import Situation, compute, due

from tests.unit.controller.objects import child, deployment, observed, pod
from tests.unit.controller.statuses import NOW, SERVICE, status_of, verdicts, whole

_LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


_NO_PODS = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota " * 100}


def test_what_a_deployment_told_of_an_older_change_is_history() -> None:
    ready = (pod("a", ready=True), pod("b", ready=True))
    told = verdicts(status_of(whole(*ready, conditions=[_LATE, _NO_PODS])))
    assert told["Stalled"][1] == "DeadlineExceeded"
    told = verdicts(status_of(whole(*ready, conditions=[_LATE, _NO_PODS], observedGeneration=0)))
    assert "Stalled" not in told
    assert told["Degraded"][0] == "False"
    missing = Problem(Reason.SECRET_NOT_FOUND, "Secret s does not exist")  # so nothing is written
    told = verdicts(status_of(whole(*ready, conditions=[_LATE]), missing))
    assert "Stalled" not in told
    assert told["Progressing"][:2] == ("True", "SecretNotFound")


def test_pods_that_are_refused_are_told_in_few_words() -> None:
    told = verdicts(status_of(whole(conditions=[_NO_PODS])))
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
        seen = whole(conditions=[failure], replicas=there)
        told.add(verdicts(status_of(seen))["Degraded"][2])
    assert told == {f"{who} refused: exceeded quota: q, used: pods=1, limited: pods=1"}


_BLIND = {
    "type": "ScalingActive",
    "status": "False",
    "reason": "FailedGetResourceMetric",
    "message": "the HPA was unable to compute the replica count: no metrics known",
    "lastTransitionTime": "2026-04-30T23:50:00Z",
}


_LONG = 120.0  # seconds


def _scaled(*conditions: Manifest, status: Manifest | None = None) -> Observed:
    told = {"currentReplicas": 1, "conditions": list(conditions)}
    answers = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-04-30T23:55:00Z"}
    return observed(
        child("Service"),
        child("HorizontalPodAutoscaler", status=told),
        deployment(1),
        pods=(pod(ready=True, conditions=[answers]),),
        status=status,
    )


def test_an_autoscaler_that_cannot_read_its_metric_is_told_while_the_pods_serve() -> None:
    told = verdicts(status_of(_scaled(_BLIND), complained=_LONG))
    words = "the autoscaler cannot read its metric, so the replicas stay 1: no metrics known"
    assert told["Degraded"] == ("True", "AutoscalerFailing", words)
    assert told["Ready"][:2] == ("True", "Serving")
    able = {**_BLIND, "status": "True"}
    assert verdicts(status_of(_scaled(able), complained=_LONG))["Degraded"][0] == "False"
    unable = {**_BLIND, "type": "AbleToScale", "message": "the HPA controller was unable to: boom"}
    assert verdicts(status_of(_scaled(able, unable), complained=_LONG))["Degraded"][2] == (
        "the autoscaler cannot scale, so the replicas stay 1: boom"
    )


def test_a_pod_that_just_became_ready_has_no_metrics_and_that_is_no_trouble() -> None:
    fresh = Situation(SERVICE, _scaled(_BLIND), (), None, NOW, complained=30)
    assert verdicts(compute(fresh))["Degraded"][0] == "False"
    assert due(fresh) == 90
    later = replace(fresh, complained=_LONG)
    assert verdicts(compute(later))["Degraded"][1] == "AutoscalerFailing"
    assert due(later) == 0


def test_what_an_autoscaler_was_known_to_complain_of_is_told_on_after_a_restart() -> None:
    before = status_of(_scaled(_BLIND), complained=_LONG)
    after = Situation(SERVICE, _scaled(_BLIND, status=before), (), None, NOW)
    assert compute(after) == before
    assert due(after) == 0
    over = replace(after, observed=_scaled({**_BLIND, "status": "True"}, status=before))
    assert verdicts(compute(over))["Degraded"][0] == "False"


def _budgeted(*ready: bool, wants: int, **written: Any) -> tuple[LLMService, Observed]:
    spec = {"model": {"uri": "hf://a/b"}, "disruption": written}
    service = LLMService.parse({"metadata": {"name": "x", "namespace": "ns"}, "spec": spec})
    allowed = max(sum(ready) - wants, 0)
    told = {"disruptionsAllowed": allowed, "desiredHealthy": wants, "expectedPods": len(ready)}
    budget = child("PodDisruptionBudget", status={"observedGeneration": 1, **told})
    pods = tuple(pod(str(number), ready=answers) for number, answers in enumerate(ready))
    return service, observed(child("Service"), budget, deployment(len(ready)), pods=pods)


def _of_budget(service: LLMService, seen: Observed) -> tuple[str, str, str]:
    return verdicts(compute(Situation(service, seen, (), None, NOW)))["Degraded"]


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
