"""Fake nodes: KWOK keeps them Ready and lets their pods run without containers.

Promises: only nodes with the annotation kwok.x-k8s.io/node=fake are touched, so a real node may
stand beside them. A pod's annotation pod-ready.stage.kwok.x-k8s.io/delay (such as "3s") keeps it
unready for so long, pod-delete.stage.kwok.x-k8s.io/delay keeps it terminating.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devcluster.processes import Component
from devcluster.rbac import bound_role
from devcluster.site import Site

USER = "devcluster:kwok"
_ANNOTATION = "kwok.x-k8s.io/node"
_STAGES = Path(__file__).with_name("kwok-stages.yaml")
_DEFAULT_ALLOCATABLE = {"cpu": "64", "memory": "512Gi", "pods": "110", "ephemeral-storage": "1Ti"}


def component(site: Site) -> Component:
    """The controller, on the host, with rights of its own (see `rbac`)."""
    argv = (
        str(site.tools["kwok"]),
        f"--kubeconfig={site.place.kubeconfig_of('kwok')}",
        f"--config={_STAGES}",
        f"--manage-nodes-with-annotation-selector={_ANNOTATION}=fake",
        "--node-lease-duration-seconds=40",
        f"--cidr={site.addresses.fake_pods}",
        f"--node-ip={site.addresses.fake_pods[0]}",
    )
    return Component("kwok", argv, env={"KWOK_WORKDIR": str(site.place.config)})


def rbac() -> list[dict[str, Any]]:
    """What the controller may do, and nothing else."""
    everything = ["get", "list", "watch", "create", "update", "patch", "delete"]
    rules: list[dict[str, Any]] = [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
        {
            "apiGroups": [""],
            "resources": ["nodes/status", "pods/status"],
            "verbs": ["update", "patch"],
        },
        {"apiGroups": [""], "resources": ["pods", "events"], "verbs": everything},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": everything},
    ]
    return bound_role("devcluster:kwok", rules, USER)


def fake_node(
    name: str, labels: Mapping[str, str], allocatable: Mapping[str, str], *, tainted: bool
) -> dict[str, Any]:
    """The manifest of a fake node; `allocatable` is added to 64 CPUs, 512Gi and 110 pods.

    Its taint kwok.x-k8s.io/node=fake:NoSchedule keeps pods away that need real containers.
    """
    taints = [{"key": _ANNOTATION, "value": "fake", "effect": "NoSchedule"}] if tainted else []
    resources = {**_DEFAULT_ALLOCATABLE, **allocatable}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
                "type": "kwok",
                **labels,
            },
            "annotations": {_ANNOTATION: "fake"},
        },
        "spec": {"taints": taints},
        "status": {"allocatable": resources, "capacity": resources},
    }
