"""Objects as the API server sends them, for the tests of this folder."""

from typing import Any

from llmservice_operator import records
from llmservice_operator.api import Manifest
from llmservice_operator.observed import Observed

LABELS = {
    "app.kubernetes.io/name": "llmservice",
    "app.kubernetes.io/instance": "x",
    "app.kubernetes.io/managed-by": "llmservice-operator",
}


def resource(version: int = 1, uid: str = "u", name: str = "x", **more: Any) -> records.Resource:
    metadata = {"namespace": "ns", "name": name, "uid": uid, "resourceVersion": str(version)}
    return records.resource(
        {"kind": "LLMService", "metadata": {**metadata, "generation": 1}, **more}
    )


def child(
    kind: str, name: str = "x", version: int = 1, owner: str | None = "u", **more: Any
) -> records.Child:
    references = [{"kind": "LLMService", "name": "x", "uid": owner, "controller": True}]
    metadata: Manifest = {
        "namespace": "ns",
        "name": name,
        "uid": f"{kind}-{name}",
        "resourceVersion": str(version),
        "generation": 1,
        "labels": LABELS,
        **({"ownerReferences": references} if owner else {}),
        **more.pop("metadata", {}),
    }
    return records.child({"kind": kind, "metadata": metadata, **more})


def pod(
    name: str = "p", version: int = 1, *, ready: bool = False, going: bool = False, **status: Any
) -> records.Pod:
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    conditions = [condition, *status.pop("conditions", ())]
    metadata = {"namespace": "ns", "name": name, "uid": name, "resourceVersion": str(version)}
    if created := status.pop("created", ""):
        metadata["creationTimestamp"] = created
    if going:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    volumes = [{"name": "config", "configMap": {"name": status.pop("config", "x-1")}}]
    requests = {"nvidia.com/gpu": str(status.pop("gpus"))} if "gpus" in status else {}
    resources = {"requests": requests, "limits": status.pop("limits", {})}
    server = {"name": "server", "image": "server:1", "resources": resources}
    on = {"nodeName": status.pop("on")} if "on" in status else {}
    return records.pod(
        {
            "kind": "Pod",
            "metadata": {**metadata, "labels": LABELS},
            "spec": {"containers": [server], "volumes": volumes, **on},
            "status": {"phase": "Running", "conditions": conditions, **status},
        }
    )


def deployment(wanted: int = 1, **status: Any) -> records.Child:
    """One whose rollout is complete, unless status says otherwise."""
    told = {"observedGeneration": 1, "replicas": wanted, "updatedReplicas": wanted}
    return child("Deployment", spec={"replicas": wanted}, status={**told, **status})


def observed(
    *children: records.Child, pods: tuple[records.Pod, ...] = (), status: Manifest | None = None
) -> Observed:
    return Observed(resource(status=status or {}), children, pods)
