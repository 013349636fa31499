"""The kinds that the operator reads or writes, and where the API server keeps them.

A kind that is missing here is never requested. CHILDREN is the order in which children are
written: what a pod needs comes before the pod's Deployment, what acts on it comes after.
"""

from typing import NamedTuple

from llmservice_operator.api.resource import GROUP, KIND, VERSION


class Kind(NamedTuple):
    name: str
    api_version: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of a collection, an object or a subresource, without the server."""
        root = (
            f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        )
        scope = f"/namespaces/{namespace}" if namespace else ""
        parts = [part for part in (self.plural, name, subresource) if part]
        return f"{root}{scope}/" + "/".join(parts)


LLM_SERVICE = Kind(KIND, f"{GROUP}/{VERSION}", "llmservices")
POD = Kind("Pod", "v1", "pods")
NODE = Kind("Node", "v1", "nodes")
SECRET = Kind("Secret", "v1", "secrets")
CLAIM = Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims")
LEASE = Kind("Lease", "coordination.k8s.io/v1", "leases")
EVENT = Kind("Event", "events.k8s.io/v1", "events")

CHILDREN: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("ServiceAccount", "v1", "serviceaccounts"),
        Kind("ConfigMap", "v1", "configmaps"),
        Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
        Kind("Service", "v1", "services"),
        Kind("Deployment", "apps/v1", "deployments"),
        Kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
        Kind("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers"),
    )
}

# The pods of these need those, and nothing of these is written while one of those cannot be.
NEEDED = frozenset({"ServiceAccount", "ConfigMap"})
NEEDING = frozenset({"Deployment", "HorizontalPodAutoscaler"})
