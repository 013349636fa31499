"""Children are what the API server takes: strictly valid, and pods that a restricted namespace
admits, for the least resource and for one that uses every field.
"""

import json
import subprocess
from typing import Any

import pytest
from devcluster import Cluster
from hypothesis import HealthCheck, Phase, given, settings
from llmservice_operator.api import LLMService
from llmservice_operator.render import RenderDefaults, render

from tests.unit.render.resources import SPECS

Manifest = dict[str, Any]

_NAME = "a" * 52
_EVERYTHING: Manifest = {
    "model": {
        "uri": "hf://meta-llama/Llama-3.3-70B-Instruct",
        "revision": "main",
        "servedName": "llama",
        "credentialsSecret": "huggingface",
    },
    "engine": {
        "image": "registry.example.com/server:1",
        "args": {"max-model-len": 1024, "override-generation-config": {"temperature": 0.5}},
        "env": [
            {"name": "A", "value": "1"},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
            {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
    },
    "gpu": {
        "count": 8,
        "products": ["NVIDIA-H100-80GB-HBM3"],
        "minMemory": "75Gi",
        "tensorParallel": 4,
        "pipelineParallel": 2,
    },
    "pod": {
        "resources": {
            "requests": {"cpu": 2, "memory": "16Gi"},
            "limits": {"cpu": "4", "memory": "32Gi"},
        },
        "nodeSelector": {"pool": "models"},
        "tolerations": [
            {"key": "dedicated", "value": "models", "effect": "NoSchedule"},
            {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9},
        ],
        "topologySpread": [{"topologyKey": "rack", "maxSkew": 2}],
        "imagePullSecrets": [{"name": "registry"}],
        "labels": {"team": "search"},
        "annotations": {"note": "any text"},
    },
    "autoscaling": {
        "min": 1,
        "max": 4,
        "cpu": 50,
        "memory": 80,
        "behavior": {
            "scaleUp": {
                "stabilizationWindowSeconds": 60,
                "selectPolicy": "Min",
                "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}],
            },
            "scaleDown": {"selectPolicy": "Disabled"},
        },
    },
    "rollout": {"strategy": "Surge", "drainSeconds": 60, "progressDeadlineSeconds": 900},
    "disruption": {"minAvailable": "50%"},
    "expose": {"service": {"type": "LoadBalancer", "port": 8080, "annotations": {"a.b/c": "d"}}},
    "observability": {"logLevel": "debug"},
}
_SPECS: dict[str, Manifest] = {
    "least": {"model": {"uri": "hf://org/model"}},
    "claim": {"model": {"uri": "pvc://models/llama"}, "disruption": {"maxUnavailable": 0}},
    "everything": _EVERYTHING,
}


def _children(cluster: Cluster, namespace: str, spec: Manifest) -> list[Manifest]:
    """The children of the resource as the API server keeps it, so with its defaults."""
    written = {
        "apiVersion": "llmservice.io/v1alpha1",
        "kind": "LLMService",
        "metadata": {"name": _NAME, "namespace": namespace},
        "spec": spec,
    }
    command = ("apply", "--dry-run=server", "-o", "json", "-f", "-")
    kept = json.loads(cluster.kubectl(*command, input=json.dumps(written)))
    return render(LLMService.parse(kept), RenderDefaults(server_image="llmservice/server:test"))


@pytest.mark.parametrize("spec", _SPECS.values(), ids=_SPECS)
def test_children_pass_strict_validation(cluster: Cluster, namespace: str, spec: Manifest) -> None:
    items = _children(cluster, namespace, spec)
    bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    strictly = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
    assert cluster.kubectl(*strictly, input=bundle).count(_NAME) == len(items)


# Not shrunk: each attempt is two calls of kubectl.
@settings(
    max_examples=15,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(spec=SPECS)
def test_what_the_schema_accepts_has_children_that_the_api_server_accepts(
    cluster: Cluster, spec: Manifest
) -> None:
    items = _children(cluster, "default", spec)
    bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    strictly = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
    cluster.kubectl(*strictly, input=bundle)


@pytest.mark.parametrize("spec", _SPECS.values(), ids=_SPECS)
def test_a_restricted_namespace_admits_the_pods(
    cluster: Cluster, namespace: str, spec: Manifest
) -> None:
    cluster.kubectl("create", "serviceaccount", _NAME, "-n", namespace)
    (deployment,) = [c for c in _children(cluster, namespace, spec) if c["kind"] == "Deployment"]
    template = deployment["spec"]["template"]
    meta = template["metadata"] | {"name": _NAME, "namespace": namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
    create = ("create", "--dry-run=server", "-f", "-")
    assert "created" in cluster.kubectl(*create, input=json.dumps(pod))


def test_a_restricted_namespace_would_refuse_a_pod_with_more_rights(
    cluster: Cluster, namespace: str
) -> None:
    container = {"name": "server", "image": "x", "securityContext": {"privileged": True}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "namespace": namespace},
        "spec": {"containers": [container]},
    }
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cluster.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(pod))
    assert "violates PodSecurity" in refused.value.stderr
