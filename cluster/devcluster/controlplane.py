"""etcd, API server, controller manager and scheduler as processes of the host.

Promises: every component has an identity of its own; authorization is Node and RBAC, admission the
default plug-ins and NodeRestriction. Runs without root. Data lives as long as the cluster's folder;
etcd does not sync to disk, so a power cut may lose it.
"""

import ssl
import urllib.request

from devcluster import kubeconfig
from devcluster.addresses import Addresses
from devcluster.keys import DOMAIN, Keys
from devcluster.layout import Layout
from devcluster.processes import Component
from devcluster.site import Site

# tests create and scale in bursts; the defaults (20 to 50 a second) are made for shared clusters
_UNHURRIED = ("--kube-api-qps=500", "--kube-api-burst=1000")


def api_url(addresses: Addresses) -> str:
    """The API server as processes of the host reach it."""
    return f"https://127.0.0.1:{addresses.api_port}"


def start(site: Site, keys: Keys, *, node: bool) -> None:
    """Start what does not run and wait until it is healthy; ClusterError with the log if not.

    With `node`, a real node and its pods can reach the API.
    """
    addresses, url = site.addresses, api_url(site.addresses)
    for user in ("kube-controller-manager", "kube-scheduler"):
        keys.identity(user, url, f"system:{user}")
    kubeconfig.write(
        site.place.kubeconfig,
        url,
        keys.cluster.pair.certificate,
        keys.admin,
        f"devcluster-{site.place.folder.name}",
    )
    checks = {
        "kube-apiserver": f"{url}/readyz",
        "kube-controller-manager": f"https://127.0.0.1:{addresses.controller_manager_port}/healthz",
        "kube-scheduler": f"https://127.0.0.1:{addresses.scheduler_port}/healthz",
    }
    wanted = components(site, keys, node=node)
    for component in wanted:
        site.ensure(component)
        if component.name == "kube-apiserver":
            site.wait(component, lambda: _healthy(checks["kube-apiserver"], keys))
    for component in wanted:
        if check := checks.get(component.name):
            site.wait(component, lambda url=check: _healthy(url, keys))


def components(site: Site, keys: Keys, *, node: bool) -> list[Component]:
    """The processes, in the order in which they start."""
    place, addresses = site.place, site.addresses
    client = f"https://127.0.0.1:{addresses.etcd_port}"
    peer = f"https://127.0.0.1:{addresses.etcd_peer_port}"
    etcd = (
        f"--data-dir={place.etcd}",
        "--unsafe-no-fsync",
        "--name=etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=etcd={peer}",
        f"--cert-file={keys.etcd_server.certificate}",
        f"--key-file={keys.etcd_server.key}",
        f"--trusted-ca-file={keys.etcd.pair.certificate}",
        "--client-cert-auth",
        f"--peer-cert-file={keys.etcd_server.certificate}",
        f"--peer-key-file={keys.etcd_server.key}",
        f"--peer-trusted-ca-file={keys.etcd.pair.certificate}",
        "--peer-client-cert-auth",
        "--log-level=warn",
    )
    api_server = (
        f"--etcd-servers={client}",
        f"--etcd-cafile={keys.etcd.pair.certificate}",
        f"--etcd-certfile={keys.api_server_to_etcd.certificate}",
        f"--etcd-keyfile={keys.api_server_to_etcd.key}",
        # refused where it is a loopback address; nobody needs it without a real node
        f"--advertise-address={addresses.host_ip}",
        f"--bind-address={'0.0.0.0' if node else '127.0.0.1'}",  # noqa: S104  pods come in too
        f"--endpoint-reconciler-type={'lease' if node else 'none'}",
        f"--secure-port={addresses.api_port}",
        f"--service-cluster-ip-range={addresses.services}",
        f"--client-ca-file={keys.cluster.pair.certificate}",
        f"--tls-cert-file={keys.api_server.certificate}",
        f"--tls-private-key-file={keys.api_server.key}",
        f"--kubelet-client-certificate={keys.api_server_to_kubelet.certificate}",
        f"--kubelet-client-key={keys.api_server_to_kubelet.key}",
        f"--kubelet-certificate-authority={keys.cluster.pair.certificate}",
        # names of nodes are in no DNS
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={keys.front_proxy.pair.certificate}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={keys.api_server_to_extensions.certificate}",
        f"--proxy-client-key-file={keys.api_server_to_extensions.key}",
        "--enable-aggregator-routing=true",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--service-account-key-file={keys.tokens.certificate}",
        f"--service-account-signing-key-file={keys.tokens.key}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
    )
    controller_manager = (
        *_client("kube-controller-manager", place, keys, addresses.controller_manager_port),
        # nothing here asks for certificates, and each signer takes a file watch from the few
        # (128 a user, by default) that all clusters of a machine share
        "--controllers=*,-certificatesigningrequest-signing-controller",
        # the default, 15 s, adds to the 20 s that a figure of metrics-server is old
        "--horizontal-pod-autoscaler-sync-period=5s",
        f"--root-ca-file={keys.cluster.pair.certificate}",
        f"--service-account-private-key-file={keys.tokens.key}",
        "--use-service-account-credentials=true",
        f"--requestheader-client-ca-file={keys.front_proxy.pair.certificate}",
    )
    scheduler = _client("kube-scheduler", place, keys, addresses.scheduler_port)
    arguments = {
        "etcd": etcd,
        "kube-apiserver": api_server,
        "kube-controller-manager": controller_manager,
        "kube-scheduler": scheduler,
    }
    return [Component(name, (str(site.tools[name]), *flags)) for name, flags in arguments.items()]


def _client(component: str, place: Layout, keys: Keys, port: int) -> tuple[str, ...]:
    own = place.kubeconfig_of(component)
    return (
        f"--kubeconfig={own}",
        f"--authentication-kubeconfig={own}",
        f"--authorization-kubeconfig={own}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={keys.loopback.certificate}",
        f"--tls-private-key-file={keys.loopback.key}",
        "--leader-elect=false",
        "--profiling=false",
        *_UNHURRIED,
    )


def _healthy(url: str, keys: Keys) -> bool:
    context = ssl.create_default_context(cafile=str(keys.cluster.pair.certificate))
    context.load_cert_chain(keys.admin.certificate, keys.admin.key)
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as response:  # noqa: S310
            return response.status == 200
    except OSError:
        return False
