"""Several writers share one resource: each has its entries of a list and its keys of a map."""

import json
from typing import Any

from devcluster import Cluster

from tests.cluster import services, writes
from tests.cluster.kube import Kube, Manifest, condition
from tests.cluster.operator_process import Operator


def _apply(cluster: Cluster, kube: Kube, writer: str, spec: Manifest) -> None:
    obj = {**services.minimal("shared"), "spec": spec}
    flags = ("--server-side", f"--field-manager={writer}", "-n", kube.namespace, "-f", "-")
    cluster.kubectl("apply", *flags, input=json.dumps(obj))


_NETWORKS = {"a": "10.1.0.0/16", "b": "10.2.0.0/16", "c": "10.3.0.0/16"}


def _part(letter: str) -> dict[str, Any]:
    """What one writer has in each list and map that can be shared."""
    return {
        "engine": {
            "env": [{"name": letter.upper(), "value": letter}],
            "args": {f"flag-{letter}": letter},
        },
        "gateway": {
            "auth": {
                "anonymous": True,
                "plans": [{"name": f"plan-{letter}"}],
                "trustedProxies": [_NETWORKS[letter]],
            },
            "limits": {"models": [{"name": f"model-{letter}", "rates": {"requestsPerMinute": 9}}]},
            "prices": [{"model": letter, "inputPerMillion": 1, "outputPerMillion": 2}],
        },
        "gpu": {"products": [f"card-{letter}"]},
        "pod": {
            "topologySpread": [{"topologyKey": f"zone-{letter}"}],
            "imagePullSecrets": [{"name": f"registry-{letter}"}],
            "nodeSelector": {f"pool-{letter}": letter},
            "labels": {f"label-{letter}": letter},
            "annotations": {f"annotation-{letter}": letter},
            "resources": {"requests": {f"example.com/{letter}": 1}},
        },
    }


def _letters(spec: Manifest) -> dict[str, set[str]]:
    """Whose entries each list and map has."""
    pod, engine, gateway = spec["pod"], spec["engine"], spec["gateway"]
    trusted = gateway["auth"]["trustedProxies"]
    return {
        "plans": {plan["name"][-1] for plan in gateway["auth"]["plans"]},
        "models": {model["name"][-1] for model in gateway["limits"]["models"]},
        "prices": {price["model"] for price in gateway["prices"]},
        "trustedProxies": {letter for letter, at in _NETWORKS.items() if at in trusted},
        "env": {entry["value"] for entry in engine["env"]},
        "args": {flag[-1] for flag in engine["args"]},
        "products": {product[-1] for product in spec["gpu"]["products"]},
        "topologySpread": {entry["topologyKey"][-1] for entry in pod["topologySpread"]},
        "imagePullSecrets": {entry["name"][-1] for entry in pod["imagePullSecrets"]},
        "nodeSelector": set(pod["nodeSelector"].values()),
        "labels": set(pod["labels"].values()),
        "annotations": set(pod["annotations"].values()),
        "requests": {name[-1] for name in pod["resources"]["requests"]},
    }


def test_each_writer_keeps_and_takes_back_its_own_entries(cluster: Cluster, kube: Kube) -> None:
    model = services.minimal("shared")["spec"]
    _apply(cluster, kube, "team", {**model, **_part("a")})
    _apply(cluster, kube, "platform", _part("b"))
    both = _letters(kube.there("LLMService", "shared")["spec"])
    assert both == {field: {"a", "b"} for field in both}

    _apply(cluster, kube, "team", {**model, **_part("c")})
    changed = _letters(kube.there("LLMService", "shared")["spec"])
    assert changed == {field: {"b", "c"} for field in both}

    _apply(cluster, kube, "platform", {})
    alone = _letters(kube.there("LLMService", "shared")["spec"])
    assert alone == {field: {"c"} for field in both}


def test_a_condition_of_another_writer_stays_while_ours_change(
    operator: Operator, cluster: Cluster, kube: Kube
) -> None:
    kube.create(services.minimal("audited"))
    services.wait_ready(kube, "audited")
    audited = {
        "type": "example.com/Audited",
        "status": "True",
        "reason": "Checked",
        "message": "by the platform team",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    service = services.minimal("audited")
    del service["spec"]
    status = {**service, "status": {"conditions": [audited]}}
    flags = ("--server-side", "--subresource=status", "--field-manager=audit", "-n", kube.namespace)
    cluster.kubectl("apply", *flags, "-f", "-", input=json.dumps(status))
    written = writes.until_quiet(operator)

    kube.merge("LLMService", "audited", {"spec": {"engine": {"image": "other:1"}}})
    services.wait_condition(kube, "audited", "Ready", "True", "Serving")
    services.wait_condition(kube, "audited", "Progressing", "False", "UpToDate")
    assert condition(kube.there("LLMService", "audited"), "example.com/Audited") == audited
    assert (writes.until_quiet(operator) - written)["PATCH LLMService"] >= 1
