"""Every example is applied as it is and becomes Ready, on a node that is right for it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from devcluster import Cluster

from tests.cluster import services
from tests.cluster.kube import Kube
from tests.cluster.operator_process import Operator

_EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
_GPU = "nvidia.com/gpu"
_MIG = "nvidia.com/mig-2g.20gb"
_ZONE = "topology.kubernetes.io/zone"
_TAINT = "dedicated=models:NoSchedule"

_20_GB = {"example-a10", "example-h100", "gpus"}
_75_GB = {"example-h100", "gpus"}
_POOL = {"example-pool-a", "example-pool-b", "example-pool-c"}
_ANY_GPU = {*_20_GB, "example-t4", "example-shared"}
_RIGHT_NODES = {
    "autoscaling": _20_GB,
    "baked-image": _ANY_GPU,
    "cpu": {*_ANY_GPU, "example-mig", "plain"},
    "gpu-product": _75_GB,
    "keys": _20_GB,
    "limits": _20_GB,
    "mig": {"example-mig"},
    "minimal": _20_GB,
    "one-replica": _20_GB,
    "private-model": _20_GB,
    "production": _POOL,
    "proxy": {*_ANY_GPU, "example-mig", "plain"},
    "tensor-parallel": _75_GB,
    "users": _20_GB,
}
_SECRETS = {
    "callers": "API_KEY",
    "huggingface": "HF_TOKEN",
    "limits-redis": "REDIS_PASSWORD",
    "mistral": "MISTRAL_API_KEY",
    "openai": "API_KEY",
    "pepper": "KEY_PEPPER",
    "postgres": "DATABASE_URL",
    "redis": "REDIS_URL",
    "registry": "any",
}


def _labels(product: str, mebibytes: int, resource: str = _GPU) -> dict[str, str]:
    return {f"{resource}.product": product, f"{resource}.memory": str(mebibytes)}


@pytest.fixture(scope="module")
def cards(cluster: Cluster) -> Iterator[None]:
    """Nodes with small, large, sliced and shared GPUs, and a pool of its own over three zones."""
    shared = {f"{_GPU}.sharing-strategy": "time-slicing"}
    made: dict[str, tuple[dict[str, str], dict[str, str]]] = {
        "example-t4": (_labels("Tesla-T4", 15360), {_GPU: "4"}),
        "example-a10": (_labels("NVIDIA-A10", 23028), {_GPU: "4"}),
        "example-h100": (_labels("NVIDIA-H100-80GB-HBM3", 81559), {_GPU: "8"}),
        "example-mig": (_labels("NVIDIA-A100-SXM4-80GB-MIG-2g.20gb", 19968, _MIG), {_MIG: "3"}),
        "example-shared": (_labels("NVIDIA-A10-SHARED", 23028) | shared, {_GPU: "40"}),
    }
    for node in _POOL:
        pool = {"pool": "models", _ZONE: node[-1]}
        made[node] = (_labels("NVIDIA-L40S", 46068) | pool, {_GPU: "4"})
    for name, (labels, allocatable) in made.items():
        cluster.apply_fake_node(name, labels, allocatable)
    cluster.kubectl("taint", "nodes", *_POOL, _TAINT, "--overwrite")
    yield
    cluster.kubectl("delete", "nodes", *made)


@pytest.fixture
def named_objects(cluster: Cluster, namespace: str) -> Iterator[None]:
    """The Secrets and the claims that examples name."""
    for name, key in _SECRETS.items():
        literal = f"--from-literal={key}=none"
        cluster.kubectl("-n", namespace, "create", "secret", "generic", name, literal)
    volumes: list[dict[str, Any]] = []
    claims: list[dict[str, Any]] = []
    for name, mode in {"models": "ReadOnlyMany", "callers": "ReadWriteOncePod"}.items():
        volume, size = f"{namespace}-{name}", {"storage": "1Gi"}
        claim = {"name": name, "namespace": namespace}
        common: dict[str, Any] = {"accessModes": [mode], "storageClassName": ""}
        path = {"hostPath": {"path": "/nonexistent"}}
        spec = {**common, "capacity": size, "claimRef": claim, **path}
        volumes.append({"kind": "PersistentVolume", "metadata": {"name": volume}, "spec": spec})
        asked = {**common, "resources": {"requests": size}, "volumeName": volume}
        claims.append({"kind": "PersistentVolumeClaim", "metadata": claim, "spec": asked})
    items = [{"apiVersion": "v1", **obj} for obj in (*volumes, *claims)]
    bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    cluster.kubectl("apply", "-f", "-", input=bundle)
    yield
    for obj in volumes:
        cluster.kubectl("delete", "persistentvolume", obj["metadata"]["name"], "--wait=false")


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda path: path.stem)
def test_applies_and_becomes_ready_on_the_right_nodes(
    operator: Operator,
    cluster: Cluster,
    kube: Kube,
    cards: None,
    named_objects: None,
    example: Path,
) -> None:
    name = yaml.safe_load(example.read_text())["metadata"]["name"]
    cluster.kubectl("apply", "-n", kube.namespace, "-f", str(example))
    services.wait_ready(kube, name)
    pods = kube.list("Pod", f"app.kubernetes.io/instance={name}")
    assert pods
    assert {pod["spec"]["nodeName"] for pod in pods} <= _RIGHT_NODES[example.stem]


def test_production_example_spreads_over_the_zones(
    operator: Operator, cluster: Cluster, kube: Kube, cards: None
) -> None:
    (example,) = [path for path in _EXAMPLES if path.stem == "production"]
    cluster.kubectl("apply", "-n", kube.namespace, "-f", str(example))
    services.wait_condition(kube, "assistant", "Progressing", "False", "UpToDate")
    pods = kube.list("Pod", "app.kubernetes.io/instance=assistant")
    assert {pod["spec"]["nodeName"] for pod in pods} == _POOL
