"""Several writers share one resource: each has its entries of a list and its keys of a map."""

import json
from typing import Any

from devcluster import Cluster

from tests.cluster import services
from tests.cluster.kube import Kube, Manifest


def _apply(cluster: Cluster, kube: Kube, writer: str, spec: Manifest) -> None:
    obj = {**services.minimal("shared"), "spec": spec}
    flags = ("--server-side", f"--field-manager={writer}", "-n", kube.namespace, "-f", "-")
    cluster.kubectl("apply", *flags, input=json.dumps(obj))


def _part(letter: str) -> dict[str, Any]:
    """What one writer has in each list and map that can be shared."""
    return {
        "engine": {
            "env": [{"name": letter.upper(), "value": letter}],
            "args": {f"flag-{letter}": letter},
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
    pod, engine = spec["pod"], spec["engine"]
    return {
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
