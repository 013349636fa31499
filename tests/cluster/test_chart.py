"""The Helm chart against a real API server: all it renders is accepted, and no more than needed."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from devcluster import Cluster

_ROOT = Path(__file__).parents[2]
_CHART = _ROOT / "charts/llmservice-operator"

Objects = list[dict[str, Any]]


def _render(cluster: Cluster, namespace: str, *values: str) -> Objects:
    sets = [f"--set={value}" for value in values]
    text = cluster.helm("template", "llmservice-operator", str(_CHART), "-n", namespace, *sets)
    return [found for found in yaml.safe_load_all(text) if found]


def _of(objects: Objects, kind: str) -> Objects:
    return [found for found in objects if found["kind"] == kind]


_SPARSE = ("namespaces={NS}", "checkSecrets=false", "replicas=1")
_REDIS = ("redis.image=mine/redis:7", "redis.createSecrets=true")
_TRACED = (
    "tracing.endpoint=http://collector:4318",
    "tracing.env[0].name=OTEL_EXPORTER_OTLP_HEADERS",
    "tracing.env[0].valueFrom.secretKeyRef.name=collector",
    "tracing.env[0].valueFrom.secretKeyRef.key=headers",
)


@pytest.mark.parametrize("values", [(), _SPARSE, _REDIS, _TRACED])
def test_the_api_server_accepts_all_of_it(
    cluster: Cluster, namespace: str, values: tuple[str, ...]
) -> None:
    objects = _render(cluster, namespace, *(value.replace("NS", namespace) for value in values))
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    strict = ["--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"]

    applied = cluster.kubectl("apply", *strict, "-f", "-", "-o", "name", input=text)

    assert len(applied.splitlines()) == len(objects)


def test_its_pod_meets_the_restricted_standard(cluster: Cluster, namespace: str) -> None:
    (deployment,) = _of(_render(cluster, namespace), "Deployment")
    spec = {**deployment["spec"]["template"]["spec"], "serviceAccountName": "default"}
    metadata = {"name": "operator", "namespace": namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    cluster.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(pod))

    # the standard does stand: without a piece of it the same pod is refused
    del spec["containers"][0]["securityContext"]["capabilities"]
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        cluster.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(pod))
    assert "violates PodSecurity" in refusal.value.stderr


def test_two_stand_apart_and_a_drain_takes_one_at_a_time(cluster: Cluster, namespace: str) -> None:
    objects = _render(cluster, namespace)
    (deployment,), (budget,) = _of(objects, "Deployment"), _of(objects, "PodDisruptionBudget")
    template = deployment["spec"]["template"]
    (spread,) = template["spec"]["topologySpreadConstraints"]

    assert deployment["spec"]["replicas"] == 2
    assert budget["spec"]["maxUnavailable"] == 1
    for selector in (budget["spec"]["selector"], spread["labelSelector"]):
        assert selector["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert not _of(_render(cluster, namespace, "replicas=1"), "PodDisruptionBudget")


def test_for_a_list_of_namespaces_nothing_is_granted_beyond_them(
    cluster: Cluster, namespace: str
) -> None:
    objects = _render(cluster, namespace, "namespaces={a,b}")

    assert not [found for found in objects if found["kind"].startswith("ClusterRole")]
    granted = {found["metadata"]["namespace"] for found in _of(objects, "Role")}
    assert granted == {"a", "b", namespace}


def test_each_release_has_a_lease_of_its_own_and_the_right_to_it(cluster: Cluster) -> None:
    text = cluster.helm("template", "blue", str(_CHART), "-n", "ns")
    objects = [found for found in yaml.safe_load_all(text) if found]

    (deployment,) = _of(objects, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert "--lease-name=blue" in container["args"]
    rules = [rule for role in _of(objects, "Role") for rule in role["rules"]]
    assert [rule["resourceNames"] for rule in rules if "resourceNames" in rule] == [["blue"]]


def test_no_right_is_a_wildcard_and_secrets_are_never_listed(
    cluster: Cluster, namespace: str
) -> None:
    objects = _render(cluster, namespace)
    roles = _of(objects, "ClusterRole") + _of(objects, "Role")
    rules = [rule for role in roles for rule in role["rules"]]

    assert len(roles) == 2
    for rule in rules:
        assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
    verbs = {resource: rule["verbs"] for rule in rules for resource in rule["resources"]}
    assert _verbs_of_secrets(objects) == ["get"]
    assert verbs["llmservices"] == ["list", "watch"]  # the user's: read, never written


def _verbs_of_secrets(objects: Objects) -> list[str]:
    rules = [rule for role in _of(objects, "ClusterRole") for rule in role["rules"]]
    return [verb for rule in rules if "secrets" in rule["resources"] for verb in rule["verbs"]]


def test_secrets_are_made_only_where_that_is_wanted(cluster: Cluster, namespace: str) -> None:
    wanted = "redis.createSecrets=true"
    assert _verbs_of_secrets(_render(cluster, namespace, wanted)) == ["get", "create"]
    neither = _render(cluster, namespace, "checkSecrets=false")
    assert _verbs_of_secrets(neither) == []


def test_there_is_no_image_of_redis_but_the_one_that_is_named(
    cluster: Cluster, namespace: str
) -> None:
    def told(*values: str) -> list[str]:
        (deployment,) = _of(_render(cluster, namespace, *values), "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        return [word for word in container["args"] if word.startswith("--redis-image")]

    assert told() == []
    assert told("redis.image=mine/redis:7") == ["--redis-image=mine/redis:7"]


def test_the_crd_is_the_repositorys_and_outlives_the_release(
    cluster: Cluster, namespace: str
) -> None:
    (crd,) = _of(_render(cluster, namespace), "CustomResourceDefinition")
    assert crd["metadata"]["annotations"].pop("helm.sh/resource-policy") == "keep"
    checked_in = yaml.safe_load((_ROOT / "crds/llmservice.io_llmservices.yaml").read_text())

    assert crd["spec"] == checked_in["spec"]
    assert not _of(_render(cluster, namespace, "crds.enabled=false"), "CustomResourceDefinition")


@pytest.mark.parametrize(
    ("values", "wanted"), [((), []), (_TRACED, ["_ENDPOINT", "_HEADERS"])], ids=["off", "on"]
)
def test_a_collector_and_how_to_talk_to_it_are_told_where_they_are_given(
    cluster: Cluster, namespace: str, values: tuple[str, ...], wanted: list[str]
) -> None:
    (deployment,) = _of(_render(cluster, namespace, *values), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    told = [entry["name"] for entry in container["env"] if entry["name"].startswith("OTEL_")]
    assert told == [f"OTEL_EXPORTER_OTLP{name}" for name in wanted]


_WRONG = [
    "unknown=1",
    "logLevel=loud",
    "workers=0",
    "namespaces={A_B}",
    "tracing.endpoint=host:4317",
    "redis.createSecrets=perhaps",
]


@pytest.mark.parametrize("value", _WRONG)
def test_a_wrong_value_is_refused(cluster: Cluster, namespace: str, value: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        _render(cluster, namespace, value)

    assert value.partition("=")[0].replace(".", "/") in refusal.value.stderr
