"""The API server's own count of writes, so that a write that changes nothing is seen as well."""

import re
from collections import Counter

from devcluster import Cluster

# What the operator writes; Leases are heartbeats, and a pod's status is the kubelet's.
_OURS = {
    "llmservices",
    "deployments",
    "services",
    "configmaps",
    "serviceaccounts",
    "poddisruptionbudgets",
    "horizontalpodautoscalers",
    "events",
}
_VERBS = {"POST", "PUT", "PATCH", "APPLY", "DELETE"}
_SAMPLE = re.compile(r"^apiserver_request_total\{(?P<labels>.*)\} (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def _ours(labels: dict[str, str]) -> bool:
    if labels["resource"] == "events":
        return labels["group"] == "events.k8s.io" and labels["verb"] == "POST"
    # a child's status and the tokens of running pods are written by Kubernetes itself
    return labels["resource"] in _OURS and (
        not labels["subresource"] or labels["resource"] == "llmservices"
    )


def count(cluster: Cluster) -> Counter[str]:
    """Writes since the API server started, by "VERB resource/subresource"."""
    writes: Counter[str] = Counter()
    for sample in _SAMPLE.finditer(cluster.kubectl("get", "--raw", "/metrics")):
        labels = dict(_LABEL.findall(sample["labels"]))
        if labels["verb"] in _VERBS and _ours(labels):
            name = "/".join(filter(None, (labels["resource"], labels["subresource"])))
            writes[f"{labels['verb']} {name}"] += int(float(sample["value"]))
    return writes
