"""What is not ours is never touched, whatever its name; what is ours goes when nothing wants it."""

import time

import pytest

from tests.cluster import services, writes
from tests.cluster.kube import Kube, Manifest, condition, eventually
from tests.cluster.operator_process import Operator

_OUR_LABELS = {
    "app.kubernetes.io/name": "llmservice",
    "app.kubernetes.io/instance": "mine",
    "app.kubernetes.io/managed-by": "llmservice-operator",
}
_FOREIGN: dict[str, Manifest] = {
    "Service": {"apiVersion": "v1", "spec": {"ports": [{"port": 1}], "selector": {"a": "b"}}},
    "ServiceAccount": {"apiVersion": "v1"},
    "PodDisruptionBudget": {
        "apiVersion": "policy/v1",
        "spec": {"maxUnavailable": 5, "selector": {"matchLabels": {"a": "b"}}},
    },
}


def _as_left(obj: Manifest) -> Manifest:
    """All but what the kind's own controller writes: the status."""
    by_its_controller = {"resourceVersion", "managedFields"}
    metadata = {k: v for k, v in obj["metadata"].items() if k not in by_its_controller}
    managers = {e["manager"] for e in obj["metadata"].get("managedFields", ())}
    assert "llmservice-operator" not in managers
    return {"metadata": metadata, "spec": obj.get("spec")}


@pytest.mark.parametrize("labels", [{}, _OUR_LABELS], ids=["unlabelled", "labelled like ours"])
def test_a_foreign_object_with_a_childs_name_is_left_alone(
    operator: Operator, kube: Kube, labels: Manifest
) -> None:
    metadata = {"name": "mine", "labels": labels}
    foreign = {
        kind: kube.create({"kind": kind, **content, "metadata": {**metadata}})
        for kind, content in _FOREIGN.items()
    }
    kube.create(services.minimal("mine"))

    services.wait_condition(kube, "mine", "Degraded", "True", "NameConflict")
    service = kube.there("LLMService", "mine")
    assert condition(service, "Stalled")["reason"] == "NameConflict"
    for kind, was in foreign.items():
        assert f"{kind} mine exists" in condition(service, "Degraded")["message"]
        assert _as_left(kube.there(kind, "mine")) == _as_left(was)

    for kind in foreign:
        kube.delete(kind, "mine")
    services.wait_ready(kube, "mine")
    assert not condition(kube.there("LLMService", "mine"), "Stalled")


def test_pods_never_run_as_somebody_elses_account(operator: Operator, kube: Kube) -> None:
    kube.create({"kind": "ServiceAccount", "metadata": {"name": "whose"}, "apiVersion": "v1"})
    kube.create(services.autoscaled("whose"))

    found = services.wait_condition(kube, "whose", "Degraded", "True", "NameConflict")
    assert "ServiceAccount whose exists" in found["message"]
    assert not any(
        child.startswith(("Deployment", "HorizontalPod")) for child in kube.children("whose")
    )

    kube.delete("ServiceAccount", "whose")
    services.wait_ready(kube, "whose")


def test_a_configuration_that_is_refused_leaves_the_deployment_alone(
    operator: Operator, kube: Kube
) -> None:
    kube.create(services.minimal("large"))
    services.wait_ready(kube, "large")
    before = kube.there("Deployment", "large")["metadata"]["generation"]
    (config,) = (child for child in kube.children("large") if child.startswith("ConfigMap"))

    large = {"chat-template": "x" * (2**20 + 1)}
    kube.merge("LLMService", "large", {"spec": {"engine": {"args": large}}})

    found = services.wait_condition(kube, "large", "Degraded", "True", "ApplyRefused")
    assert "Too long" in found["message"]
    sent = writes.until_quiet(operator)["PATCH ConfigMap"]
    time.sleep(4)  # several back-offs
    assert writes.count(operator)["PATCH ConfigMap"] == sent, "it is sent again and again"
    assert kube.there("Deployment", "large")["metadata"]["generation"] == before
    assert config in kube.children("large")

    kube.merge("LLMService", "large", {"spec": {"engine": {"args": None}}})
    services.wait_ready(kube, "large")


def test_an_orphaned_child_is_not_adopted(operator: Operator, kube: Kube) -> None:
    kube.create(services.minimal("lost"))
    services.wait_ready(kube, "lost")

    kube.merge("Service", "lost", {"metadata": {"ownerReferences": None}})

    services.wait_condition(kube, "lost", "Degraded", "True", "NameConflict")
    assert "ownerReferences" not in kube.there("Service", "lost")["metadata"]


_OF_OLD: dict[str, Manifest] = {  # a ConfigMap waits for the end of the rollout: test_children.py
    "ServiceAccount": {"apiVersion": "v1"},
    "Service": _FOREIGN["Service"],
    "Deployment": {
        "apiVersion": "apps/v1",
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "none"}]},
            },
        },
    },
    "PodDisruptionBudget": _FOREIGN["PodDisruptionBudget"],
    "HorizontalPodAutoscaler": {
        "apiVersion": "autoscaling/v2",
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "old"},
            "maxReplicas": 2,
        },
    },
}


def test_what_an_older_version_rendered_and_this_one_does_not_goes(
    operator: Operator, kube: Kube
) -> None:
    kube.create(services.minimal("new"))
    services.wait_ready(kube, "new")
    rendered = kube.children("new").keys()
    assert not any(child.startswith("HorizontalPod") for child in rendered)  # the kind as a whole

    uid = kube.there("LLMService", "new")["metadata"]["uid"]
    owner = {"apiVersion": "llmservice.io/v1alpha1", "kind": "LLMService", "name": "new"}
    owners = [{**owner, "uid": uid, "controller": True}]
    for kind, content in _OF_OLD.items():
        metadata = {"name": "old", "labels": _OUR_LABELS, "ownerReferences": owners}
        kube.create({"kind": kind, **content, "metadata": metadata})

    eventually("only what is rendered is left", lambda: kube.children("new").keys() == rendered)


def test_what_is_switched_off_goes(operator: Operator, kube: Kube) -> None:
    kube.create(services.autoscaled("off"))
    services.wait_ready(kube, "off")
    assert kube.get("HorizontalPodAutoscaler", "off")

    kube.merge("LLMService", "off", {"spec": {"autoscaling": None, "replicas": 2}})

    eventually("no autoscaler", lambda: kube.get("HorizontalPodAutoscaler", "off") is None)
    services.wait_ready(kube, "off")
    assert kube.there("Deployment", "off")["spec"]["replicas"] == 2
