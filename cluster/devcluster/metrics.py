"""What pods use of CPU and memory, for autoscalers and `kubectl top`: metrics-server on the node.

Promises: it, the API server and the kubelet know each other by their certificates; it may read what
it reports on and nothing else. A figure is the mean of the last ten or twenty seconds.
"""

import base64
import subprocess
from typing import Any

from devcluster import kubectl
from devcluster.addresses import Addresses
from devcluster.keys import Keys
from devcluster.processes import Component
from devcluster.rbac import bound_role
from devcluster.site import Site

USER = "devcluster:metrics-server"
_NAME, _NAMESPACE = "metrics-server", "kube-system"
_GROUP, _VERSION = "metrics.k8s.io", "v1beta1"
_PORT = 10350
_RESOLUTION = "10s"  # the shortest that it takes
_KUBELET_TIMEOUT = "5s"  # it insists on less than the resolution


def component(site: Site, keys: Keys, enter: tuple[str, ...]) -> Component:
    own = site.place.kubeconfig_of(_NAME)
    ip = str(site.addresses.node_ip)
    names = [ip, f"{_NAME}.{_NAMESPACE}.svc"]
    serving = keys.cluster.issue("metrics-server-serving", USER, addresses=names)
    argv = (
        str(site.tools[_NAME]),
        f"--kubeconfig={own}",
        f"--authentication-kubeconfig={own}",
        f"--authorization-kubeconfig={own}",
        f"--bind-address={ip}",
        f"--secure-port={_PORT}",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        f"--kubelet-certificate-authority={keys.cluster.pair.certificate}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-request-timeout={_KUBELET_TIMEOUT}",
        f"--metric-resolution={_RESOLUTION}",
        "--node-selector=type!=kwok",  # fake nodes have no kubelet
    )
    return Component(_NAME, argv, enter)


def answers(site: Site) -> bool:
    """Whether the API server reaches it; its first figures come half a minute later."""
    arguments = ["get", "--raw", f"/apis/{_GROUP}/{_VERSION}"]
    try:
        kubectl.run(site.tools["kubectl"], site.place.kubeconfig, arguments, None, timeout=10)
    except subprocess.SubprocessError:
        return False
    return True


def manifests(keys: Keys, addresses: Addresses) -> list[dict[str, Any]]:
    """Its rights, the Service and endpoint that the API server finds it by, and its API."""
    reads = ["get", "list", "watch"]
    rules: list[dict[str, Any]] = [
        {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": reads},
        # who asks, and may they? And by which certificate does the API server ask?
        _checks("authentication.k8s.io", "tokenreviews"),
        _checks("authorization.k8s.io", "subjectaccessreviews"),
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["extension-apiserver-authentication"],
            "verbs": reads,
        },
    ]
    ports = [{"name": "https", "port": _PORT, "protocol": "TCP"}]
    bundle = base64.b64encode(keys.cluster.pair.certificate.read_bytes()).decode()
    metadata = {"name": _NAME, "namespace": _NAMESPACE}
    return [
        *bound_role(USER, rules, USER),
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": _NAME}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [str(addresses.node_ip)], "conditions": {"ready": True}}],
            "ports": ports,
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{_VERSION}.{_GROUP}"},
            "spec": {
                "group": _GROUP,
                "version": _VERSION,
                "service": {**metadata, "port": _PORT},
                "caBundle": bundle,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    ]


def _checks(group: str, resource: str) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": [resource], "verbs": ["create"]}
