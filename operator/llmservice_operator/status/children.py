"""What the cluster's own controllers tell of the children: Deployments, autoscaler, budget.

Pure.
"""

import re
from collections.abc import Sequence

from llmservice_operator.api.conditions import ConditionType, Reason
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.resource import LLMService
from llmservice_operator.observed import Observed
from llmservice_operator.records import Child
from llmservice_operator.render.redis import redis_name
from llmservice_operator.status.patch import conditions_of
from llmservice_operator.status.trouble import Trouble
from llmservice_operator.words import shortened

METRIC_LAG = 120.0
"""Seconds: a pod that just became ready has no metrics yet, and the autoscaler says so."""

# Each attempt has another pod's name.
_POD = re.compile(r'^pods "[^"]*" is forbidden: ')
_CANNOT = "the autoscaler cannot"
_UNABLE = re.compile(r"^the HPA (was unable to compute the replica count|[^:]*): ")


def seen(child: Child) -> bool:
    """Is what its controller tells about the child as it is now?"""
    return child.status.get("observedGeneration", 0) >= child.generation


def _told(child: Child | None) -> Sequence[Manifest]:
    if child is None or not seen(child):
        return ()
    return child.status.get("conditions") or ()


def refused(deployment: Child | None) -> Trouble | None:
    """Pods that a quota, pod security or a webhook does not let in."""
    for condition in _told(deployment):
        if deployment and condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            wanted = deployment.replicas or 0
            lacking = wanted - deployment.status.get("replicas", 0)
            verb = "is" if lacking == 1 else "are"
            who = f"{lacking} of {wanted} pods {verb}" if wanted > 1 else "the pod is"
            said = shortened(_POD.sub("", condition["message"]))
            refusal = f"{who if lacking > 0 else 'a new pod is'} refused: {said}"
            return Trouble(Reason.PODS_REFUSED, refusal)
    return None


def past_deadline(deployment: Child | None) -> bool:
    return any(
        c["type"] == "Progressing" and c.get("reason") == "ProgressDeadlineExceeded"
        for c in _told(deployment)
    )


def redis_silent(observed: Observed, service: LLMService) -> str:
    """What holds while the resource's own Redis does not answer; "" where it does, or is none."""
    redis = observed.child("Deployment", redis_name(service))
    ready = redis and redis.status.get("readyReplicas")
    if not service.spec.gateway.runs_redis or ready:
        return ""
    closed = service.spec.gateway.limits.when_redis_is_down == "closed"
    meanwhile = "requests with a limit are refused" if closed else "each replica counts for itself"
    return f"Deployment {redis_name(service)} has no pod that answers: until then {meanwhile}"


def redis_lost(observed: Observed, service: LLMService) -> Trouble | None:
    """A Redis that does not answer and should: not one that is about to, for the first time."""
    redis = observed.child("Deployment", redis_name(service))
    silent = redis_silent(observed, service)
    answered = any(c.get("reason") == "NewReplicaSetAvailable" for c in _told(redis))
    if not silent or not (answered or past_deadline(redis) or refused(redis)):
        return None
    why = refused(redis)
    words = f"{silent}; {why.message}" if why else silent
    return Trouble(Reason.REDIS_NOT_READY, words)


def unable_to_scale(observed: Observed, complained: float) -> Trouble | None:
    """What the autoscaler has complained of for longer than metrics take to appear."""
    complaint = _complaint(observed)
    if complaint is None or until_told(observed, complained) > 0:
        return None
    scaler = observed.child("HorizontalPodAutoscaler")
    number = scaler.status.get("currentReplicas", 0) if scaler else 0
    what = "read its metric" if complaint["type"] == "ScalingActive" else "scale"
    said = shortened(_UNABLE.sub("", complaint.get("message", "")))
    words = f"{_CANNOT} {what}, so the replicas stay {number}: {said}"
    return Trouble(Reason.AUTOSCALER_FAILING, words)


def until_told(observed: Observed, complained: float) -> float:
    """Seconds until what the autoscaler complains of is a trouble; 0 if it is one, or never is."""
    told = conditions_of(observed.resource.status).get(ConditionType.DEGRADED, {})
    if _complaint(observed) is None or _CANNOT in told.get("message", ""):
        return 0.0
    return max(METRIC_LAG - complained, 0.0)


def complains(observed: Observed) -> str:
    """Since when, by the clocks of others; "" while the autoscaler has nothing to complain of."""
    complaint = _complaint(observed)
    if complaint is None:
        return ""
    newest = max((pod.start.ready for pod in observed.pods), default="")
    return f"{complaint.get('lastTransitionTime')}, its newest pod {newest}"


def _complaint(observed: Observed) -> Manifest | None:
    scaler = observed.child("HorizontalPodAutoscaler")
    told = scaler.status.get("conditions") or () if scaler else ()
    wrong = (c for c in told if c["type"] in {"AbleToScale", "ScalingActive"})
    return next((c for c in wrong if c["status"] == "False"), None)


def blocks_drains(observed: Observed, service: LLMService, *, troubled: bool) -> Trouble | None:
    """A budget that no pod can be spared of: by what is written, or while others do not answer.

    maxUnavailable: 0 says just that, and is no trouble.
    """
    budget = observed.child("PodDisruptionBudget")
    if budget is None or not seen(budget) or budget.status.get("disruptionsAllowed"):
        return None
    needed, there = budget.status.get("desiredHealthy", 0), budget.status.get("expectedPods", 0)
    meant = service.spec.disruption.max_unavailable in (0, "0%")
    if not there or meant:
        return None
    wants = f"{needed} of {there} pods" if there > 1 else "the only pod"
    if needed >= there:
        then = (
            "no node with one can be drained: write disruption.maxUnavailable: 1, or more replicas"
        )
    elif troubled:
        then = "until more answer no node with one that does can be drained"
    else:
        return None
    words = f"the PodDisruptionBudget wants {wants} to stay, so that {then}"
    return Trouble(Reason.DISRUPTION_BLOCKED, words)
