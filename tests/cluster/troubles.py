"""Kinds of trouble, each made on fake nodes: what docs/troubleshooting.md shows.

Fake nodes run nothing: what a kubelet would report of a pod is written into the pod's status.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmservice_operator.api.conditions import Reason

from tests.cluster import services
from tests.cluster.kube import Kube, Manifest, eventually

NAME = "qwen"


@dataclass(frozen=True)
class Trouble:
    """cause: what somebody did, in a sentence. make: does it, in a namespace of its own."""

    title: str
    cause: str
    reason: Reason
    make: Callable[[Kube], None]


def _resource(**spec: Any) -> Callable[[Kube], None]:
    def make(kube: Kube) -> None:
        kube.create(services.minimal(NAME, **spec))

    return make


def _pod(kube: Kube) -> str:
    def scheduled() -> str | None:
        pods = kube.list("Pod", f"app.kubernetes.io/instance={NAME}")
        return next((p["metadata"]["name"] for p in pods if p["spec"].get("nodeName")), None)

    return eventually("a pod on a node", scheduled)


def _reported(state: Manifest, restarts: int = 0, **spec: Any) -> Callable[[Kube], None]:
    """A resource whose pod's node reports that of the server."""

    def make(kube: Kube) -> None:
        resource = services.minimal(NAME, ready_after="1h")
        resource["spec"]["pod"].update(spec.pop("pod", {}))
        resource["spec"].update(spec)
        kube.create(resource)
        services.wait_condition(kube, NAME, "Ready", "False", "Starting")
        told = {"name": "server", "image": "i", "imageID": "", "ready": False, **state}
        status = {"containerStatuses": [{**told, "restartCount": restarts}]}
        kube.merge("Pod", _pod(kube), {"status": status}, "status")

    return make


def _waiting(reason: str, message: str) -> Manifest:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def _ended(code: int, message: str, reason: str = "Error") -> Manifest:
    back_off = _waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container")
    ended = {"exitCode": code, "reason": reason, "message": message}
    return {**back_off, "lastState": {"terminated": ended}}


def _quota(**hard: str) -> Callable[[Kube], None]:
    def make(kube: Kube) -> None:
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}}
        kube.create({**quota, "spec": {"hard": hard}})
        eventually("a quota that counts", lambda: kube.there("ResourceQuota", "team").get("status"))
        kube.create(services.minimal(NAME))

    return make


def _foreign_service(kube: Kube) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}}
    kube.create({**service, "spec": {"ports": [{"port": 80}]}})
    kube.create(services.minimal(NAME))


TROUBLES = (
    Trouble(
        "A Secret is missing",
        "`model.credentialsSecret: hugging`, and nobody made that Secret.",
        Reason.SECRET_NOT_FOUND,
        _resource(model={"uri": "hf://meta/private", "credentialsSecret": "hugging"}),
    ),
    Trouble(
        "The volume with the model is missing",
        "`model.uri: pvc://models/qwen`, and there is no such claim.",
        Reason.CLAIM_NOT_FOUND,
        _resource(model={"uri": "pvc://models/qwen"}),
    ),
    Trouble(
        "Somebody else has the name",
        "A Service of the LLMService's name was there before.",
        Reason.NAME_CONFLICT,
        _foreign_service,
    ),
    Trouble(
        "A quota leaves no room for a child",
        "A ResourceQuota with `services: 0`; an admission webhook that says no reads alike.",
        Reason.APPLY_REFUSED,
        _quota(services="0"),
    ),
    Trouble(
        "A quota leaves no room for the pods",
        "A ResourceQuota with `pods: 0`; pod security reads alike.",
        Reason.PODS_REFUSED,
        _quota(pods="0"),
    ),
    Trouble(
        "No node has such a GPU",
        "`gpu.minMemory: 100Gi`, and the largest GPU of the cluster has 80 GB.",
        Reason.UNSCHEDULABLE,
        _resource(gpu={"minMemory": "100Gi"}),
    ),
    Trouble(
        "The image is not there",
        "`engine.image` names a tag that was never pushed.",
        Reason.IMAGE_PULL_FAILED,
        _reported(
            _waiting(
                "ImagePullBackOff",
                'Back-off pulling image "example.com/server:v9": ErrImagePull: '
                "example.com/server:v9: not found",
            ),
            engine={"image": "example.com/server:v9"},
        ),
    ),
    Trouble(
        "The engine refuses an argument",
        "`engine.args` asks for a longer context than the model has.",
        Reason.CONFIG_REJECTED,
        _reported(
            _ended(2, "max-model-len 65536 is greater than the model's 32768"),
            restarts=1,
            engine={"args": {"max-model-len": 65536}},
        ),
    ),
    Trouble(
        "The model is not where it should be",
        "`model.uri: file:///models/qwen`, and the image has no such folder.",
        Reason.MODEL_NOT_FOUND,
        _reported(
            _ended(3, "/models/qwen holds no model"),
            restarts=1,
            model={"uri": "file:///models/qwen"},
        ),
    ),
    Trouble(
        "The server needs more memory than it may use",
        "`pod.resources.limits.memory: 8Gi`, and the kernel ended it there.",
        Reason.OUT_OF_MEMORY,
        _reported(
            _ended(137, "", "OOMKilled"),
            restarts=3,
            pod={"resources": {"limits": {"memory": "8Gi"}}},
        ),
    ),
    Trouble(
        "The server ends again and again",
        "The GPU's driver is older than the image's CUDA.",
        Reason.CRASH_LOOPING,
        _reported(_ended(1, "RuntimeError: the NVIDIA driver on your system is too old"), 5),
    ),
    Trouble(
        "The autoscaler is blind",
        "`autoscaling` in a cluster without metrics-server.",
        Reason.AUTOSCALER_FAILING,
        _resource(autoscaling={"min": 1, "max": 3}),
    ),
    Trouble(
        "No node can be drained",
        "`disruption.minAvailable: 1` with one replica.",
        Reason.DISRUPTION_BLOCKED,
        _resource(disruption={"minAvailable": 1}),
    ),
)
