"""The certificates of a cluster: who is who.

Promises: each component has an identity of its own. etcd and the front proxy have authorities
apart, or any client of the cluster could speak to etcd, or pose as the front proxy.
"""

from dataclasses import dataclass

from devcluster import kubeconfig
from devcluster.addresses import Addresses
from devcluster.certificates import Authority, Pair, signing_key
from devcluster.layout import Layout

DOMAIN = "cluster.local"
_LOCAL = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Keys:
    """All certificates of the control plane, by whom they name."""

    place: Layout
    cluster: Authority
    front_proxy: Authority
    etcd: Authority
    admin: Pair
    api_server: Pair
    api_server_to_etcd: Pair
    api_server_to_kubelet: Pair
    api_server_to_extensions: Pair
    etcd_server: Pair
    loopback: Pair
    tokens: Pair

    def identity(self, component: str, server: str, user: str, *groups: str) -> None:
        """Write a component's kubeconfig: it is `user` and finds the API at the URL `server`."""
        pair = self.cluster.issue(component, user, groups)
        ca = self.cluster.pair.certificate
        kubeconfig.write(self.place.kubeconfig_of(component), server, ca, pair, "devcluster")


def create(place: Layout, addresses: Addresses) -> Keys:
    """Create what is missing below the cluster's `pki` folder."""
    cluster, front_proxy, etcd = (
        Authority(place.pki, name) for name in ("cluster", "front-proxy", "etcd")
    )
    for authority in (cluster, front_proxy, etcd):
        authority.create()
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    return Keys(
        place=place,
        cluster=cluster,
        front_proxy=front_proxy,
        etcd=etcd,
        admin=cluster.issue("admin", "devcluster-admin", ["system:masters"]),
        api_server=cluster.issue(
            "apiserver",
            "kube-apiserver",
            addresses=[
                *_LOCAL,
                str(addresses.host_ip),
                str(addresses.api_service_ip),
                *service,
                f"{service[-1]}.{DOMAIN}",
            ],
        ),
        api_server_to_etcd=etcd.issue("apiserver-etcd", "kube-apiserver"),
        api_server_to_kubelet=cluster.issue(
            "apiserver-kubelet", "kube-apiserver-kubelet-client", ["system:masters"]
        ),
        api_server_to_extensions=front_proxy.issue("front-proxy", "front-proxy-client"),
        etcd_server=etcd.issue("etcd", "etcd", addresses=_LOCAL),
        loopback=cluster.issue("loopback", "devcluster-loopback", addresses=_LOCAL),
        tokens=signing_key(place.pki, "tokens"),
    )
