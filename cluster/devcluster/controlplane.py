"""etcd, API server, controller manager and scheduler as processes of the host.

Promises: every component has an identity of its own; authorization is Node and RBAC, admission the
default plug-ins and NodeRestriction. Runs without root. Data lives as long as the cluster's folder;
etcd does not sync to disk, so a power cut may lose it.
"""

import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devcluster import kubeconfig
from devcluster.addresses import Addresses
from devcluster.certificates import Authority, Pair, signing_key
from devcluster.layout import Layout
from devcluster.processes import Component, Processes
from devcluster.waiting import wait_until

DOMAIN = "cluster.local"
_START_SECONDS = 60.0
# tests create and scale in bursts; the defaults (20 to 50 a second) are made for shared clusters
_UNHURRIED = ("--kube-api-qps=500", "--kube-api-burst=1000")


@dataclass(frozen=True)
class Keys:
    """All certificates of the control plane, by whom they name."""

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


def keys(place: Layout, addresses: Addresses) -> Keys:
    """Create what is missing below the cluster's `pki` folder."""
    cluster = Authority(place.pki, "cluster")
    # apart, or any client of the cluster could speak to etcd, or pose as the front proxy
    front_proxy = Authority(place.pki, "front-proxy")
    etcd = Authority(place.pki, "etcd")
    for authority in (cluster, front_proxy, etcd):
        authority.create()
    local = ("127.0.0.1", "localhost")
    return Keys(
        cluster=cluster,
        front_proxy=front_proxy,
        etcd=etcd,
        admin=cluster.issue("admin", "devcluster-admin", ["system:masters"]),
        api_server=cluster.issue(
            "apiserver",
            "kube-apiserver",
            addresses=[
                *local,
                str(addresses.host_ip),
                str(addresses.api_service_ip),
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                f"kubernetes.default.svc.{DOMAIN}",
            ],
        ),
        api_server_to_etcd=etcd.issue("apiserver-etcd", "kube-apiserver"),
        api_server_to_kubelet=cluster.issue(
            "apiserver-kubelet", "kube-apiserver-kubelet-client", ["system:masters"]
        ),
        api_server_to_extensions=front_proxy.issue("front-proxy", "front-proxy-client"),
        etcd_server=etcd.issue("etcd", "etcd", addresses=local),
        loopback=cluster.issue("loopback", "devcluster-loopback", addresses=local),
        tokens=signing_key(place.pki, "tokens"),
    )


def components(
    place: Layout, addresses: Addresses, keys: Keys, tools: Mapping[str, Path], *, node: bool
) -> list[Component]:
    """The processes, in the order in which they start. With `node`, pods can reach the API."""
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
        f"--cluster-signing-cert-file={keys.cluster.pair.certificate}",
        f"--cluster-signing-key-file={keys.cluster.pair.key}",
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
    return [Component(name, (str(tools[name]), *flags)) for name, flags in arguments.items()]


def start(
    place: Layout,
    addresses: Addresses,
    tools: Mapping[str, Path],
    processes: Processes,
    *,
    node: bool,
) -> Keys:
    """Start what does not run and wait until it is healthy; ClusterError with the log if not."""
    made = keys(place, addresses)
    for user in ("kube-controller-manager", "kube-scheduler"):
        identity(place, addresses, made, user, f"system:{user}")
    kubeconfig.write(
        place.kubeconfig,
        api_url(addresses),
        made.cluster.pair.certificate,
        made.admin,
        f"devcluster-{place.folder.name}",
    )
    checks = {
        "kube-apiserver": f"{api_url(addresses)}/readyz",
        "kube-controller-manager": f"https://127.0.0.1:{addresses.controller_manager_port}/healthz",
        "kube-scheduler": f"https://127.0.0.1:{addresses.scheduler_port}/healthz",
    }
    wanted = components(place, addresses, made, tools, node=node)
    for component in wanted:
        if processes.ensure(component):
            print(f"· started {component.name}", flush=True)
        if component.name == "kube-apiserver":
            _wait_healthy(component, checks[component.name], made, processes)
    for component in wanted:
        if component.name in checks:
            _wait_healthy(component, checks[component.name], made, processes)
    return made


def identity(
    place: Layout, addresses: Addresses, made: Keys, component: str, user: str, *groups: str
) -> Path:
    """A kubeconfig for a component that runs on the host, with a certificate of its own."""
    pair = made.cluster.issue(component, user, groups)
    ca = made.cluster.pair.certificate
    return kubeconfig.write(
        place.kubeconfig_of(component), api_url(addresses), ca, pair, "devcluster"
    )


def api_url(addresses: Addresses) -> str:
    """The API server as processes of the host reach it."""
    return f"https://127.0.0.1:{addresses.api_port}"


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


def _wait_healthy(component: Component, url: str, keys: Keys, processes: Processes) -> None:
    context = ssl.create_default_context(cafile=str(keys.cluster.pair.certificate))
    context.load_cert_chain(keys.admin.certificate, keys.admin.key)

    def healthy() -> bool:
        processes.require(component)
        try:
            with urllib.request.urlopen(url, timeout=5, context=context) as response:  # noqa: S310
                return response.status == 200
        except (OSError, urllib.error.URLError):
            return False

    wait_until(
        f"{component.name} becoming healthy",
        healthy,
        _START_SECONDS,
        lambda: processes.tail(component.name),
    )
