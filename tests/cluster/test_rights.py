"""The operator uses every right that the chart grants; one that it never uses, it should not have.

What it may not do fails in every other test here; see account.py.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from devcluster import Cluster
from llmservice_operator import kinds
from llmservice_operator.kinds import CHILDREN, LLM_SERVICE, Kind

from bench.operator.samples import samples
from tests.cluster import services
from tests.cluster.kube import Kube, Manifest, eventually
from tests.cluster.operator_process import Operator

Right = tuple[str, str]  # resource, verb

_BY_NAME = {kind.name: kind for kind in vars(kinds).values() if isinstance(kind, Kind)} | CHILDREN
# An admission plugin that few clusters have asks for it, where an owner blocks its own deletion.
_NOT_TO_BE_SEEN = {(f"{LLM_SERVICE.plural}/finalizers", "update")}
_IMPATIENT = """
from llmservice_operator import events
events.EACH = 1.0
"""
_SPECS: dict[str, Manifest] = {
    "Service": {"spec": {"ports": [{"port": 1}]}},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": 1}},
    "NetworkPolicy": {"spec": {"podSelector": {}}},
    "HorizontalPodAutoscaler": {
        "spec": {
            "maxReplicas": 1,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "old"},
        }
    },
    "Deployment": {
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        }
    },
}


@pytest.fixture
def narrow(
    operator: Operator, identity: Callable[..., Path], kube: Kube, tmp_path: Path
) -> Iterator[Operator]:
    """With rights in the test's namespace only, a Lease of its own, and Events counted up soon."""
    operator.stop()
    mine = kube.namespace
    account = identity(mine, f"namespaces={{{mine}}}", "redis.createSecrets=true")
    (tmp_path / "sitecustomize.py").write_text(_IMPATIENT)
    flags = (f"--namespaces={mine}", "--redis-image=redis:test")
    made = Operator(
        account, mine, tmp_path / "log", flags=flags, environment={"PYTHONPATH": str(tmp_path)}
    )
    made.start()
    yield made
    made.stop()


def _granted(cluster: Cluster, *where: str) -> set[Right]:
    found = json.loads(cluster.kubectl("get", *where, "-o", "json"))
    rules = [rule for role in found.get("items", [found]) for rule in role["rules"]]
    return {(r, verb) for rule in rules for r in rule["resources"] for verb in rule["verbs"]}


def _used(operator: Operator) -> set[Right]:
    """What was asked for and allowed, be it there or not."""
    metrics = operator.metrics()
    asked = [of for of, _ in samples(metrics, "rest_client_requests_total")]
    done = [of for of in asked if of["code"] not in ("403", "<error>")]
    used = {(_BY_NAME[of["kind"]].plural, of["verb"]) for of in done if of["kind"]}
    if (status := (LLM_SERVICE.plural, "patch")) in used:  # see test_users_object.py
        used = used - {status} | {(f"{LLM_SERVICE.plural}/status", "patch")}
    # An apply takes the right to patch, and that to create where there is nothing yet.
    for of, _ in samples(metrics, "llmservice_operator_child_writes_total"):
        used.add((_BY_NAME[of["kind"]].plural, of["verb"].replace("apply", "patch")))
    return used


def _make_change_and_prune_each_kind(kube: Kube) -> None:
    """A child of each is made, set right, and deleted once nothing renders it any more."""
    redis = {"redis": {"managed": True}}
    uid = kube.create(services.autoscaled("all", gateway=redis))["metadata"]["uid"]
    services.wait_ready(kube, "all")
    before = kube.children("all")
    assert {name.split()[0] for name in before} == set(CHILDREN)

    drift = {"metadata": {"labels": {"app.kubernetes.io/instance": "drifted"}}}
    for name in before:
        kube.merge(*name.split(), drift)
    eventually("all are set right", lambda: "drifted" not in str(kube.children("all")))

    labels = before["Service all"]["metadata"]["labels"]
    owner = {"apiVersion": LLM_SERVICE.api_version, "kind": LLM_SERVICE.name, "name": "all"}
    for kind in CHILDREN.values():
        metadata = {"name": "old", "labels": labels, "ownerReferences": []}
        metadata["ownerReferences"] = [{**owner, "uid": uid, "controller": True}]
        obj = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
        kube.create({**obj, **_SPECS.get(kind.name, {})})
    eventually("surplus goes", lambda: kube.children("all").keys() == before.keys())


def _miss_the_same_twice(kube: Kube) -> None:
    """An Event is sent, and counted up."""
    from_claim, from_hub = {"uri": "pvc://none/model"}, services.minimal("")["spec"]["model"]
    kube.create(services.minimal("asks", model=from_claim))
    services.wait_condition(kube, "asks", "Degraded", "True", "ClaimNotFound")
    kube.merge("LLMService", "asks", {"spec": {"model": from_hub}})
    services.wait_condition(kube, "asks", "Degraded", "False", "AsExpected")
    kube.merge("LLMService", "asks", {"spec": {"model": from_claim}})
    services.wait_condition(kube, "asks", "Degraded", "True", "ClaimNotFound")
    eventually("it is counted up", lambda: any(e.get("series") for e in kube.list("Event")))


def test_every_right_in_a_namespace_is_used(narrow: Operator, cluster: Cluster, kube: Kube) -> None:
    _make_change_and_prune_each_kind(kube)
    _miss_the_same_twice(kube)
    narrow.wait(lambda: ("leases", "update") in _used(narrow), "renewing its Lease")

    granted = _granted(cluster, "roles", "-n", kube.namespace)
    assert granted == _used(narrow) | _NOT_TO_BE_SEEN


def test_beyond_a_namespace_it_may_see_nodes_and_does(
    operator: Operator, identity: Callable[..., Path], cluster: Cluster, kube: Kube
) -> None:
    identity(kube.namespace, f"namespaces={{{kube.namespace}}}")
    within = _granted(cluster, "roles", "-n", kube.namespace)
    role = f"{operator.lease_namespace}:llmservice-operator"
    beyond = _granted(cluster, "clusterrole", role) - within
    assert beyond == {("nodes", "list"), ("nodes", "watch")}
    assert beyond <= _used(operator)
