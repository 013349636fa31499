"""Names of Services: CoreDNS on the node, behind the Service kube-dns as in any cluster.

Promises: answers names of the cluster; any other name does not exist, at once, since there is no
way out.
"""

from typing import Any

from devcluster import files
from devcluster.addresses import Addresses
from devcluster.keys import DOMAIN
from devcluster.processes import Component
from devcluster.rbac import bound_role
from devcluster.site import Site

USER = "devcluster:coredns"
_READY_PORT = 8181


def component(site: Site, enter: tuple[str, ...]) -> Component:
    argv = (str(site.tools["coredns"]), f"-conf={site.place.config / 'Corefile'}")
    return Component("coredns", argv, enter)


def ready_url(addresses: Addresses) -> str:
    """Answers 200 once it serves."""
    return f"http://{addresses.node_ip}:{_READY_PORT}/ready"


def configure(site: Site) -> None:
    """Write its configuration file."""
    node_ip = site.addresses.node_ip
    corefile = f"""\
{DOMAIN} in-addr.arpa {{
    bind {node_ip}
    errors
    ready {node_ip}:{_READY_PORT}
    kubernetes {{
        kubeconfig {site.place.kubeconfig_of("coredns")}
        ttl 5
    }}
}}
. {{
    bind {node_ip}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
    files.write(site.place.config / "Corefile", corefile)


def manifests(addresses: Addresses) -> list[dict[str, Any]]:
    """The Service, the endpoint it leads to, and CoreDNS's rights."""
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    reads = ["get", "list", "watch"]
    rules: list[dict[str, Any]] = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": reads},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": reads},
    ]
    return [
        *bound_role("devcluster:coredns", rules, USER),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system"},
            "spec": {"clusterIP": str(addresses.dns_service_ip), "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kube-dns",
                "namespace": "kube-system",
                "labels": {"kubernetes.io/service-name": "kube-dns"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [str(addresses.node_ip)], "conditions": {"ready": True}}],
            "ports": ports,
        },
    ]
