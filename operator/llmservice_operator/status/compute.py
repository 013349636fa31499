"""The status of one LLMService. See status/__init__.py for what it promises."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llmservice_operator.api.conditions import Condition, ConditionType, Reason
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.resource import LLMService
from llmservice_operator.observed import Observed, Problem
from llmservice_operator.records import Child, Loading, Pod
from llmservice_operator.render.identity import selector
from llmservice_operator.render.network import base_url
from llmservice_operator.status.children import (
    blocks_drains,
    past_deadline,
    redis_lost,
    refused,
    seen,
    unable_to_scale,
    until_told,
)
from llmservice_operator.status.patch import conditions_of
from llmservice_operator.status.promises import promises
from llmservice_operator.status.startup import in_words, startup
from llmservice_operator.status.trouble import Trouble, worst

# What an evicted pod leaves behind: another has taken its place.
_ENDED = frozenset({"Failed", "Succeeded"})
_FOR_CLIENTS = frozenset({"url", "model", "selector"})


@dataclass(frozen=True)
class Situation:
    """All that the status is made of. service is None where the spec could not be read.

    placement: status.placement, where pods wait for a node and the nodes are known.
    loading: what the pod of status.startup says, if it loads (see loads()) and answers.
    complained: for how many seconds the autoscaler is known to complain (see complains()).
    now: RFC 3339, for conditions that change.
    """

    service: LLMService | None
    observed: Observed
    problems: Sequence[Problem]
    placement: Manifest | None
    now: str
    loading: Loading | None = None
    complained: float = 0.0


@dataclass(frozen=True)
class _Count:
    """Pods: how many there should be, are, answer, and have the newest revision."""

    wanted: int
    there: int
    ready: int
    updated: int

    def answer(self) -> str:
        every = max(self.wanted, self.there)  # more than wanted while a rollout surges
        verb = "answers" if self.ready == 1 else "answer"
        return f"{self.ready} of {every} {'pod' if every == 1 else 'pods'} {verb}"


def compute(situation: Situation) -> Manifest:
    """The whole .status."""
    observed = situation.observed
    deployment = observed.child("Deployment")
    pods = _present(observed.pods)
    count = _count(deployment, pods, observed.unseen)
    trouble = worst(pods, situation.placement) or refused(deployment)
    conditions = _conditions(situation, deployment, count, trouble)
    status: Manifest = {
        "observedGeneration": observed.resource.generation,
        "replicas": count.there,
        "readyReplicas": count.ready,
        "updatedReplicas": count.updated,
        "conditions": _dated(conditions, situation),
    }
    if situation.service is not None:
        selected = selector(situation.service).items()
        status |= {"url": base_url(situation.service), "model": situation.service.served_name}
        status["selector"] = ",".join(f"{label}={value}" for label, value in selected)
    else:  # an unreadable spec changes nothing of what clients use
        status |= {k: v for k, v in observed.resource.status.items() if k in _FOR_CLIENTS}
    if situation.placement is not None:
        status["placement"] = situation.placement
    if begun := startup(pods, observed.resource.status.get("startup")):
        status["startup"] = begun
        if situation.loading:
            begun["loading"] = situation.loading.manifest()
    return status


def loads(observed: Observed) -> Pod | None:
    """The pod that status.startup tells of, if its server loads."""
    pods = _present(observed.pods)
    begun = startup(pods, observed.resource.status.get("startup"))
    if begun is None or begun["phase"] != "Loading":
        return None
    return next(pod for pod in pods if pod.ref.name == begun["pod"])


def due(situation: Situation) -> float:
    """Seconds until the status is another one by time alone; 0 where it is not."""
    return until_told(situation.observed, situation.complained)


def _present(pods: Sequence[Pod]) -> list[Pod]:
    return [pod for pod in pods if not pod.deleting and pod.phase not in _ENDED]


def _count(deployment: Child | None, pods: Sequence[Pod], unseen: frozenset[str]) -> _Count:
    ready = sum(pod.ready for pod in pods)
    if deployment is None and "Deployment" in unseen:
        return _Count(len(pods), len(pods), ready, len(pods))
    told = deployment.status if deployment else {}
    wanted = deployment.replicas if deployment and deployment.replicas is not None else 0
    if "Pod" in unseen:
        ready = told.get("readyReplicas", 0)
    return _Count(wanted, told.get("replicas", 0), ready, told.get("updatedReplicas", 0))


def _conditions(
    situation: Situation, deployment: Child | None, count: _Count, trouble: Trouble | None
) -> Iterator[Condition]:
    problem = min(situation.problems, key=lambda p: not p.stalled, default=None)
    troubles = [Trouble(p.reason, p.message) for p in situation.problems]
    # With a problem the Deployment may be that of an older spec: what it is stuck in is history.
    stuck = not problem and past_deadline(deployment)
    if stuck:
        detail = f": {trouble.message}" if trouble else ""
        words = f"the rollout made no progress within its deadline{detail}"
        troubles.append(Trouble(Reason.DEADLINE_EXCEEDED, words))
    elif trouble:
        troubles.append(trouble)

    doing = _doing(situation.loading, count)
    yield _ready(situation.observed, count, troubles, doing)
    if count.ready:
        troubles += _of_what_serves(situation, troubled=bool(troubles))
    progressing = _progressing(deployment, count, problem, doing, stuck=stuck)
    yield progressing
    if troubles:
        words = "; ".join(t.message for t in troubles)
        yield Condition(ConditionType.DEGRADED, "True", troubles[0].reason, words)
    else:
        yield Condition(
            ConditionType.DEGRADED, "False", Reason.AS_EXPECTED, Reason.AS_EXPECTED.sentence
        )
    if progressing.status == "True":
        yield Condition(ConditionType.RECONCILING, "True", progressing.reason, progressing.message)
    if stuck or (problem and problem.stalled):
        yield Condition(ConditionType.STALLED, "True", troubles[0].reason, troubles[0].message)
    if situation.service:
        changed = problem or not (deployment and seen(deployment) and count.updated >= count.there)
        older = bool(count.there and changed)
        yield from promises(situation.service, situation.observed, older=older)


def _of_what_serves(situation: Situation, *, troubled: bool) -> Iterator[Trouble]:
    """Whether what serves will be scaled, counts together, and can be drained from its nodes."""
    service, observed = situation.service, situation.observed
    if blind := unable_to_scale(observed, situation.complained):
        yield blind
    if service and (lost := redis_lost(observed, service)):
        yield lost
    if service and (blocked := blocks_drains(observed, service, troubled=troubled)):
        yield blocked


def _doing(loading: Loading | None, count: _Count) -> str:
    """What the pod that started last does, at the end of a sentence."""
    if loading is None:
        return ""
    return f": {'the newest' if count.there > 1 else 'it'} is {in_words(loading)}"


def _ready(observed: Observed, count: _Count, troubles: Sequence[Trouble], doing: str) -> Condition:
    if count.ready and ("Service" in observed.unseen or observed.child("Service") is not None):
        reason = Reason.SERVING if count.ready >= count.wanted else Reason.PARTLY_SERVING
        return Condition(ConditionType.READY, "True", reason, count.answer())
    if troubles:
        words = f"{count.answer()}: {troubles[0].message}" if count.wanted else troubles[0].message
        return Condition(ConditionType.READY, "False", troubles[0].reason, words)
    if observed.child("Deployment") is None:
        words = "the Deployment does not exist yet"
        return Condition(ConditionType.READY, "False", Reason.NOT_WRITTEN, words)
    if count.ready:
        words = f"{count.answer()}, but the Service does not exist yet"
        return Condition(ConditionType.READY, "False", Reason.NOT_WRITTEN, words)
    return Condition(ConditionType.READY, "False", Reason.STARTING, f"{count.answer()} yet{doing}")


def _progressing(
    deployment: Child | None, count: _Count, problem: Problem | None, doing: str, *, stuck: bool
) -> Condition:
    progressing = ConditionType.PROGRESSING
    if problem:
        verdict = "False" if problem.stalled else "True"
        return Condition(progressing, verdict, problem.reason, problem.message)
    if stuck:
        words = "the rollout made no progress within its deadline"
        return Condition(progressing, "False", Reason.DEADLINE_EXCEEDED, words)
    if on_the_way := _on_the_way(deployment, count, doing):
        return Condition(progressing, "True", *on_the_way)
    words = f"{count.answer()}, all of the newest revision"
    return Condition(progressing, "False", Reason.UP_TO_DATE, words)


def _on_the_way(deployment: Child | None, count: _Count, doing: str) -> tuple[Reason, str] | None:
    if deployment is None:
        return Reason.NOT_WRITTEN, "the Deployment does not exist yet"
    if not seen(deployment):
        return Reason.WRITTEN, Reason.WRITTEN.sentence
    if count.updated < count.there:
        verb = "has" if count.updated == 1 else "have"
        words = f"{count.updated} of {count.wanted} pods {verb} the newest revision{doing}"
        return Reason.ROLLING_OUT, words
    if count.there != count.wanted:
        return Reason.SCALING, f"{count.there} pods on the way to {count.wanted}{doing}"
    if count.ready < count.wanted:
        return Reason.STARTING, f"{count.answer()} yet{doing}"
    return None


def _dated(conditions: Iterator[Condition], situation: Situation) -> list[Manifest]:
    resource = situation.observed.resource
    known = conditions_of(resource.status)
    dated: list[Manifest] = []
    for condition in conditions:
        before = known.get(condition.type, {})
        same = before.get("status") == condition.status
        since = before.get("lastTransitionTime") if same else None
        dated.append(condition.manifest(resource.generation, since or situation.now))
    return dated
