"""What is created: resources with all their children, nodes for them, and other people's things."""

from collections.abc import Iterator, Sequence

from devcluster import kwok
from llmservice_operator.api import LLMService
from llmservice_operator.render import RenderDefaults, render

from bench.operator.api import Manifest
from bench.operator.view import Ref

NAMESPACE, FOREIGN = "bench", "foreign"
IMAGE, NEXT_IMAGE = "llmservice/server:1", "llmservice/server:2"
AUTOSCALED = 10  # every so many have an autoscaler
_GPUS = 64  # of a node
FOREIGN_NODES, FOREIGN_PODS = 2_000, 20_000


def patience(resources: int) -> float:
    """Seconds that any one wait may take."""
    return 120 + 0.6 * resources


def name(number: int) -> str:
    return f"model-{number:05}"


def resource(number: int) -> Manifest:
    """One replica with one GPU."""
    scaled = {"autoscaling": {"min": 1, "max": 4}} if number % AUTOSCALED == 0 else {}
    return {
        "apiVersion": "llmservice.io/v1alpha1",
        "kind": "LLMService",
        "metadata": {"name": name(number), "namespace": NAMESPACE},
        "spec": {"model": {"uri": "hf://Qwen/Qwen2.5-7B-Instruct"}, **scaled},
    }


def with_image(image: str) -> Manifest:
    """The merge patch by which a user asks for another image."""
    return {"spec": {"engine": {"image": image}}}


def children(resource: Manifest, image: str = IMAGE) -> list[Manifest]:
    """What the offline render gives, without the owner, for that is not there on the floor."""
    rendered = render(LLMService.parse(resource), RenderDefaults(server_image=image))
    for manifest in rendered:
        del manifest["metadata"]["ownerReferences"]
    return rendered


def refs(manifests: Sequence[Manifest]) -> list[Ref]:
    return [Ref(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]


def nodes(resources: int) -> Iterator[Manifest]:
    """GPUs for twice the pods, so that all may be replaced at once; 20 nodes or more."""
    roomy = {"cpu": "4096", "memory": "64Ti", "pods": "500", "nvidia.com/gpu": str(_GPUS)}
    labels = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.memory": "81559"}
    for number in range(max(20, -(-2 * resources // _GPUS))):
        yield kwok.fake_node(f"gpus-{number:04}", labels, roomy, tainted=False)


def wide_range() -> Manifest:
    """Addresses for more Services than the cluster's own range has; nothing is routed there."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "bench"},
        "spec": {"cidrs": ["10.0.0.0/16"]},
    }


def namespace(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def foreign_node(number: int) -> Manifest:
    """A node that nobody plays: it is never Ready. As large as a real one, labels above all."""
    name = f"foreign-{number:05}"
    features = {f"feature.node.kubernetes.io/cpu-cpuid.F{n}": "true" for n in range(40)}
    manifest = kwok.fake_node(name, features, {"nvidia.com/gpu": "8"}, tainted=False)
    del manifest["metadata"]["annotations"]
    manifest["spec"]["taints"] = [{"key": "other", "value": "team", "effect": "NoSchedule"}]
    return manifest


def foreign_pod(number: int) -> Manifest:
    """On a foreign node, where nothing evicts it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"web-{number:05}",
            "namespace": FOREIGN,
            "labels": {"app.kubernetes.io/name": "web", "team": f"team-{number % 40}"},
            "annotations": {"checksum/config": f"{number:064}"},
        },
        "spec": {
            "nodeName": f"foreign-{number % FOREIGN_NODES:05}",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": container,
                    "image": f"registry.example.com/team/{container}:1.2.3",
                    "env": [{"name": f"VARIABLE_{n}", "value": "x" * 40} for n in range(15)],
                    "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
                }
                for container in ("web", "sidecar")
            ],
        },
    }
