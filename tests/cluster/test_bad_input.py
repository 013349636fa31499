"""What the schema cannot refuse becomes a condition that says what is wrong, and the way out.

Fake nodes run nothing: what a kubelet would report of a pod is written into the pod's status.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from devcluster import Cluster

from tests.cluster import services
from tests.cluster.kube import Kube, Manifest, condition, eventually
from tests.cluster.operator_process import Operator


def _secret(name: str, *keys: str) -> Manifest:
    data = dict.fromkeys(keys, "c2VjcmV0")
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def test_a_missing_secret_is_named_until_it_is_there(operator: Operator, kube: Kube) -> None:
    model = {"uri": "hf://meta/private", "credentialsSecret": "hugging"}
    kube.create(services.minimal("gated", model=model))

    found = services.wait_condition(kube, "gated", "Degraded", "True", "SecretNotFound")
    assert found["message"] == (
        f"Secret hugging does not exist in namespace {kube.namespace}: create it"
    )
    assert condition(kube.there("LLMService", "gated"), "Reconciling")["status"] == "True"
    assert kube.children("gated") == {}

    kube.create(_secret("hugging", "TOKEN"))
    eventually(
        "the missing key is named",
        lambda: (
            condition(kube.there("LLMService", "gated"), "Degraded")["message"]
            == "Secret hugging has no key HF_TOKEN: add it"
        ),
    )
    kube.merge("Secret", "hugging", {"data": {"HF_TOKEN": "c2VjcmV0"}})
    services.wait_ready(kube, "gated")


def test_a_change_that_needs_a_missing_secret_leaves_the_last_good_children(
    operator: Operator, kube: Kube
) -> None:
    kube.create(services.minimal("good"))
    services.wait_ready(kube, "good")
    before = {name: c["metadata"]["resourceVersion"] for name, c in kube.children("good").items()}
    key = {"secretKeyRef": {"name": "absent", "key": "k"}}

    kube.merge(
        "LLMService", "good", {"spec": {"engine": {"env": [{"name": "A", "valueFrom": key}]}}}
    )

    services.wait_condition(kube, "good", "Degraded", "True", "SecretNotFound")
    service = kube.there("LLMService", "good")
    assert condition(service, "Ready")["status"] == "True"
    assert condition(service, "Progressing")["status"] == "True"
    after = {name: c["metadata"]["resourceVersion"] for name, c in kube.children("good").items()}
    assert after == before


def test_what_was_there_is_healed_while_a_secret_is_missing(operator: Operator, kube: Kube) -> None:
    kube.create(_secret("token", "HF_TOKEN"))
    model = {"uri": "hf://meta/private", "credentialsSecret": "token"}
    kube.create(services.minimal("kept", model=model))
    services.wait_ready(kube, "kept")
    was = kube.children("kept")

    kube.delete("Secret", "token")
    change = {"engine": {"args": {"max-model-len": 2048}}}
    kube.merge("LLMService", "kept", {"spec": change})
    services.wait_condition(kube, "kept", "Degraded", "True", "SecretNotFound")
    kube.merge("LLMService", "kept", {"spec": {"engine": {"args": None}}})
    services.wait_condition(kube, "kept", "Degraded", "True", "SecretNotFound")
    for kind in ("Service", "Deployment", "PodDisruptionBudget", "ServiceAccount"):
        kube.delete(kind, "kept")

    eventually("all children are back", lambda: kube.children("kept").keys() == was.keys())
    template = kube.there("Deployment", "kept")["spec"]["template"]["spec"]
    assert template == was["Deployment kept"]["spec"]["template"]["spec"]


def test_a_missing_claim_is_named_until_it_is_there(operator: Operator, kube: Kube) -> None:
    kube.create(services.minimal("disk", model={"uri": "pvc://models/qwen"}))

    found = services.wait_condition(kube, "disk", "Degraded", "True", "ClaimNotFound")
    assert "PersistentVolumeClaim models does not exist" in found["message"]
    assert kube.children("disk") == {}

    spec = {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}}
    kube.create({**claim, "spec": {**spec, "storageClassName": "none"}})
    # Nodes have room: what is wrong is the claim, which nothing will ever bind.
    found = services.wait_condition(kube, "disk", "Degraded", "True", "Unschedulable")
    assert "unbound immediate PersistentVolumeClaims" in found["message"]
    assert kube.there("LLMService", "disk")["status"]["placement"]["fittingNodes"] > 0


_PULL = 'failed to pull and unpack image "x": not found'
_CASES: dict[str, tuple[str, str, Manifest]] = {
    "image": (
        "ImagePullFailed",
        f"the pod cannot pull the image llmservice/server:test: {_PULL}",
        {
            "state": {
                "waiting": {
                    "reason": "ImagePullBackOff",
                    "message": f'Back-off pulling image "x": ErrImagePull: {_PULL}',
                }
            }
        },
    ),
    "crash": (
        "CrashLooping",
        "the pod ended with exit code 1: CUDA error: no kernel image is available",
        {
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
            "lastState": {
                "terminated": {
                    "exitCode": 1,
                    "reason": "Error",
                    "message": "CUDA error: no kernel image is available\n",
                }
            },
        },
    ),
    "slow": (
        "NotAnswering",
        (
            "the pod was restarted 2 times or more, for no error of its own: "
            "it starts too slowly, hangs, or just ends"
        ),
        {
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
            "lastState": {"terminated": {"exitCode": 0, "reason": "Completed"}},
        },
    ),
    "model": (
        "ModelNotFound",
        "the pod ended with exit code 3: /models/qwen holds no model",
        {
            "state": {
                "terminated": {
                    "exitCode": 3,
                    "reason": "Error",
                    "message": "/models/qwen holds no model",
                }
            }
        },
    ),
    "memory": (
        "OutOfMemory",
        (
            "the pod was ended because its node ran out of memory: write what it needs in "
            "pod.resources.requests.memory, or let the engine use less"
        ),
        {
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        },
    ),
    "config": (
        "ContainerConfigError",
        'the pod cannot start: secret "token" not found',
        {
            "state": {
                "waiting": {
                    "reason": "CreateContainerConfigError",
                    "message": 'secret "token" not found',
                }
            }
        },
    ),
}


def test_what_a_pod_suffers_from_is_told_in_its_own_words(operator: Operator, kube: Kube) -> None:
    for name in _CASES:
        kube.create(services.minimal(name, ready_after="1h"))
    for name, (_, _, state) in _CASES.items():
        pod = _pod(kube, name)
        container = {"name": "server", "image": "x", "imageID": "", "restartCount": 3}
        status = {"containerStatuses": [{**container, "ready": False, **state}]}
        kube.merge("Pod", pod, {"status": status}, "status")

    for name, (reason, sentence, _) in _CASES.items():
        found = services.wait_condition(kube, name, "Degraded", "True", reason)
        assert found["message"] == sentence
        ready = condition(kube.there("LLMService", name), "Ready")
        assert (ready["status"], ready["reason"]) == ("False", reason)
        assert ready["message"] == f"0 of 1 pod answer: {sentence}"


def _pod(kube: Kube, name: str) -> str:
    def scheduled() -> Any:
        pods = kube.list("Pod", f"app.kubernetes.io/instance={name}")
        return next((p["metadata"]["name"] for p in pods if p["spec"].get("nodeName")), None)

    return eventually(f"a pod of {name}", scheduled)


@pytest.mark.parametrize(
    ("gpu", "sentence"),
    [
        ({"count": 16}, "lacks 16 nvidia.com/gpu"),
        ({"minMemory": "100Gi"}, "100 GiB"),
    ],
)
def test_no_node_with_such_a_gpu_is_told_with_what_the_nodes_lack(
    operator: Operator, kube: Kube, gpu: Manifest, sentence: str
) -> None:
    kube.create(services.minimal("huge", gpu=gpu))

    found = services.wait_condition(kube, "huge", "Degraded", "True", "Unschedulable")
    placement = kube.there("LLMService", "huge")["status"]["placement"]
    assert placement["fittingNodes"] == 0
    assert found["message"] == f"the pod cannot be scheduled: {placement['message']}"
    assert sentence in found["message"]


def test_a_quota_speaks_for_itself(operator: Operator, kube: Kube) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    kube.create({**quota, "spec": {"hard": {"services": "0"}}})
    kube.create(services.minimal("poor"))

    found = services.wait_condition(kube, "poor", "Degraded", "True", "ApplyRefused")
    assert "exceeded quota: none" in found["message"]


@pytest.fixture
def hook_down(cluster: Cluster, namespace: str) -> Iterator[Callable[[], object]]:
    """An admission webhook that nobody answers for, asked about every Service; ends when called."""
    name, every = f"down-{namespace}", {"operations": ["*"]}
    hook = {
        "name": "down.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"], **every}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    kind = "ValidatingWebhookConfiguration"
    made = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "webhooks": [hook]}
    cluster.kubectl("create", "-f", "-", input=json.dumps({**made, "metadata": {"name": name}}))

    def asked() -> bool:
        probe = ("create", "service", "clusterip", "probe", "--tcp=1", "-n", namespace)
        try:
            cluster.kubectl(*probe, "--dry-run=server")
        except subprocess.CalledProcessError:
            return True
        return False

    def end() -> object:
        return cluster.kubectl("delete", kind, name, "--ignore-not-found")

    eventually("the webhook is asked", asked)
    yield end
    end()


def test_a_webhook_that_is_down_is_told_and_holds_up_only_what_it_is_asked_about(
    operator: Operator, kube: Kube, hook_down: Callable[[], object]
) -> None:
    kube.create(services.minimal("held"))

    found = services.wait_condition(kube, "held", "Degraded", "True", "ApiFailed")
    assert "Service held cannot be written: Internal error" in found["message"]
    assert 'failed calling webhook "down.example.com"' in found["message"]
    assert sorted(child.split()[0] for child in kube.children("held")) == [
        "ConfigMap",
        "Deployment",
        "PodDisruptionBudget",
        "ServiceAccount",
    ]

    hook_down()
    services.wait_ready(kube, "held")


def test_events_tell_of_changes_once(operator: Operator, kube: Kube) -> None:
    kube.create(services.minimal("told"))
    services.wait_ready(kube, "told")

    def of(reason: str) -> list[Manifest]:
        return [
            e
            for e in kube.list("Event")
            if e["regarding"]["kind"] == "LLMService" and e["reason"] == reason
        ]

    (ready,) = eventually("an Event", lambda: of("Serving") or None)
    assert (ready["type"], ready["note"]) == ("Normal", "1 of 1 pod answers")

    kube.merge("LLMService", "told", {"spec": {"model": {"uri": "pvc://nowhere/x"}}})
    (missing,) = eventually("a warning", lambda: of("ClaimNotFound") or None)
    assert missing["type"] == "Warning"
    assert len(of("Serving")) == 1
