"""What the status says of who may ask, and of whether limits hold of all replicas together."""

from typing import Any

import pytest
from llmservice_operator.api import LLMService, Manifest
from llmservice_operator.api.conditions import Reason
from llmservice_operator.observed import Observed, Problem
from llmservice_operator.records import Child
from llmservice_operator.status import Situation, compute

from tests.unit.controller.objects import child, deployment, observed, pod
from tests.unit.controller.statuses import NOW, verdicts

_KEYS = {"keysSecret": {"name": "callers"}}
_LIMITED = {**_KEYS, "plans": [{"name": "free", "perUser": {"requestsPerMinute": 1}}]}
_COMPLETE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
_LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


def _told(
    gateway: Manifest, *more: Child, seen: Observed | None = None, **spec: Any
) -> dict[str, tuple[str, str, str]]:
    """The conditions of such a resource, which serves."""
    fields = {"model": {"uri": "hf://a/b"}, "gateway": gateway, **spec}
    metadata = {"name": "x", "namespace": "ns"}
    service = LLMService.parse({"metadata": metadata, "spec": fields})
    seen = seen or observed(child("Service"), deployment(1), *more, pods=(pod("a", ready=True),))
    return verdicts(compute(Situation(service, seen, (), None, NOW)))


def _redis(*conditions: Manifest, **status: Any) -> Child:
    told = {"observedGeneration": 1, "conditions": list(conditions), **status}
    return child("Deployment", "x-redis", spec={"replicas": 1}, status=told)


def _variable(name: str) -> Manifest:
    reference = {"secretKeyRef": {"name": "s", "key": "k"}}
    return {"engine": {"env": [{"name": name, "valueFrom": reference}]}}


def test_an_endpoint_without_auth_is_said_to_be_open_and_that_is_no_trouble() -> None:
    told = _told({})
    assert told["Guarded"][:2] == ("False", "OpenInCluster")
    assert "write gateway.auth" in told["Guarded"][2]
    assert (told["Ready"][0], told["Degraded"][0]) == ("True", "False")


def test_who_shows_no_key_is_told_where_one_may() -> None:
    assert _told({"auth": _KEYS})["Guarded"][:2] == ("True", "KeysWanted")
    told = _told({"auth": {**_KEYS, "anonymous": True}})
    assert told["Guarded"][:2] == ("False", "AnonymousAllowed")


def test_a_variable_of_the_server_guards_it_too() -> None:
    assert _told({}, **_variable("API_KEY"))["Guarded"][0] == "True"
    assert _told({}, **_variable("OTHER"))["Guarded"][0] == "False"


_READY = (pod("a", ready=True),)
_OLDER = {  # the only pod may be of a spec without auth
    "not replaced yet": (deployment(1, updatedReplicas=0), ()),
    "not seen yet": (deployment(1, observedGeneration=0), ()),
    "not written": (deployment(1), (Problem(Reason.SECRET_NOT_FOUND, "no Secret callers"),)),
}


@pytest.mark.parametrize(("serving", "problems"), _OLDER.values(), ids=_OLDER)
def test_what_the_spec_newly_asks_for_is_not_said_to_hold_while_older_pods_serve(
    serving: Child, problems: tuple[Problem, ...]
) -> None:
    metadata = {"name": "x", "namespace": "ns"}
    gateway = {"auth": _KEYS, "redis": {"urlSecret": {"name": "redis"}}}
    spec = {"model": {"uri": "hf://a/b"}, "gateway": gateway}
    service = LLMService.parse({"metadata": metadata, "spec": spec})

    def told(before: str) -> set[tuple[str, str]]:
        kinds = ("Guarded", "LimitsShared")
        conditions = [{"type": kind, "status": before} for kind in kinds]
        seen = observed(serving, pods=_READY, status={"conditions": conditions})
        found = verdicts(compute(Situation(service, seen, problems, None, NOW)))
        return {found[kind][:2] for kind in kinds}

    assert told("False") == {("False", "RollingOut")}
    # as they were, those pods did so too
    assert told("True") == {("True", "KeysWanted"), ("True", "CountedTogether")}


def test_of_several_replicas_without_redis_it_is_named_what_each_counts_alone() -> None:
    limits = {"perAddress": {"requestsPerMinute": 9}, "models": [{"name": "a", "rates": {}}]}
    gateway = {
        "auth": {**_LIMITED, "anonymous": True, "stored": True},
        "limits": limits,
        "quotas": {"monthlyTokens": 1},
    }
    told = _told(gateway, replicas=3)["LimitsShared"]
    assert told == (
        "False",
        "CountedPerReplica",
        (
            "each of 3 replicas counts for itself: limits.perAddress, limits.models, "
            "limits.anonymous, plan free, plans in the database, quotas; write gateway.redis, in "
            "which they count together"
        ),
    )
    told = _told({"auth": _LIMITED}, autoscaling={"max": 4})["LimitsShared"]
    assert told[2].startswith("each of up to 4 replicas counts for itself: plan free;")


@pytest.mark.parametrize(
    ("gateway", "spec"),
    [
        ({"auth": _LIMITED}, {}),
        ({"auth": _LIMITED}, {"replicas": 1}),
        ({"auth": _LIMITED}, {"autoscaling": {"min": 1, "max": 1}}),
        ({"auth": _KEYS}, {"replicas": 2}),
        ({}, {"replicas": 2}),
    ],
)
def test_of_one_replica_or_without_limits_there_is_nothing_to_say(
    gateway: Manifest, spec: Manifest
) -> None:
    assert "LimitsShared" not in _told(gateway, **spec)


def test_with_a_redis_they_count_together() -> None:
    for spec in ({"redis": {"urlSecret": {"name": "redis"}}}, {}):
        more = {} if spec else _variable("REDIS_URL")
        told = _told({"auth": _LIMITED, **spec}, replicas=2, **more)
        assert told["LimitsShared"][:2] == ("True", "CountedTogether")
    told = _told({"redis": {"managed": True}}, _redis(_COMPLETE, readyReplicas=1))
    assert told["LimitsShared"][:2] == ("True", "CountedTogether")
    assert told["Degraded"][0] == "False"


def test_a_redis_of_its_own_that_starts_is_told_and_no_trouble() -> None:
    for there in ((), (_redis(),)):
        told = _told({"redis": {"managed": True}}, *there)
        assert told["LimitsShared"] == (
            "False",
            "RedisNotReady",
            "Deployment x-redis has no pod that answers: until then each replica counts for itself",
        )
        assert told["Degraded"][0] == "False"


@pytest.mark.parametrize("condition", [_COMPLETE, _LATE], ids=["answered once", "never"])
def test_one_that_should_answer_and_does_not_is_a_trouble_that_stops_nothing(
    condition: Manifest,
) -> None:
    gateway = {"redis": {"managed": True}, "limits": {"whenRedisIsDown": "closed"}}
    told = _told(gateway, _redis(condition))
    assert told["Degraded"][:2] == ("True", "RedisNotReady")
    assert "requests with a limit are refused" in told["Degraded"][2]
    assert told["Ready"][0] == "True"


def test_the_pods_of_a_redis_that_are_refused_are_told_in_the_clusters_words() -> None:
    refused = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: q"}
    told = _told({"redis": {"managed": True}}, _redis(refused))
    assert told["Degraded"][1] == "RedisNotReady"
    assert "exceeded quota: q" in told["Degraded"][2]


def test_of_a_spec_that_cannot_be_read_nothing_is_promised() -> None:
    seen = observed(child("Service"), deployment(1))
    told = verdicts(compute(Situation(None, seen, (), None, NOW)))
    assert not {"Guarded", "LimitsShared"} & told.keys()
