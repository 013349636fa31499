"""The API server's own count of writes, so that a write that changes nothing is seen as well."""

from collections import Counter

from devcluster import Cluster

from bench.operator.samples import CHILDREN, WRITES, samples

# What the operator writes; Leases are heartbeats, and a pod's status is the kubelet's.
_OURS = CHILDREN | {"llmservices", "events"}


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
    metrics = cluster.kubectl("get", "--raw", "/metrics")
    for labels, value in samples(metrics, "apiserver_request_total"):
        if labels["verb"] in WRITES and _ours(labels):
            name = "/".join(filter(None, (labels["resource"], labels["subresource"])))
            writes[f"{labels['verb']} {name}"] += int(value)
    return writes
