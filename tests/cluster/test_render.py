"""Children are what the API server takes: strictly valid, and pods that a restricted namespace
admits, for the least resource and for one that uses every field.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from devcluster import Cluster
from hypothesis import HealthCheck, Phase, given, settings
from llmservice_operator.api import LLMService
from llmservice_operator.render import RenderDefaults, render

from tests.unit.render.resources import SPECS

Manifest = dict[str, Any]

_NAME = "a" * 52
_EVERYTHING = Path(__file__).parents[1] / "unit/render/everything.yaml"
_SPECS: dict[str, Manifest] = {
    "least": {"model": {"uri": "hf://org/model"}},
    "claim": {"model": {"uri": "pvc://models/llama"}, "disruption": {"maxUnavailable": 0}},
    "everything": yaml.safe_load(_EVERYTHING.read_text())["spec"],
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
    return render(
        LLMService.parse(kept), RenderDefaults("llmservice/server:test", redis_image="redis:7")
    )


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


@pytest.fixture
def runtime_class(cluster: Cluster) -> Iterator[None]:
    """The one that `everything` names: pods are admitted only where it is there."""
    made = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": "nvidia"},
        "handler": "nvidia",
    }
    cluster.kubectl("apply", "-f", "-", input=json.dumps(made))
    yield
    cluster.kubectl("delete", "runtimeclass", "nvidia")


@pytest.mark.parametrize("spec", _SPECS.values(), ids=_SPECS)
def test_a_restricted_namespace_admits_the_pods(
    cluster: Cluster, namespace: str, runtime_class: None, spec: Manifest
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
