"""The kubelet and kube-proxy of the real node: their configuration and how they are started."""

from pathlib import Path
from typing import Any

import yaml

from devcluster import cgroups, containerd, files
from devcluster.addresses import Addresses
from devcluster.certificates import Pair
from devcluster.keys import DOMAIN
from devcluster.layout import Layout
from devcluster.processes import Component
from devcluster.site import Site

# what the kubelet would set for the whole machine (kubernetes, pkg/kubelet/cm, kernel tunables)
SYSCTLS = {
    "vm.overcommit_memory": 1,
    "vm.panic_on_oom": 0,
    "kernel.panic": 10,
    "kernel.panic_on_oops": 1,
    "kernel.keys.root_maxkeys": 1000000,
    "kernel.keys.root_maxbytes": 25000000,
}


def kubelet(site: Site, enter: tuple[str, ...], node: str) -> Component:
    """The kubelet of the node with this name."""
    argv = (
        str(site.tools["kubelet"]),
        f"--config={site.place.config / 'kubelet.yaml'}",
        f"--kubeconfig={site.place.kubeconfig_of('kubelet')}",
        f"--node-ip={site.addresses.node_ip}",
        f"--hostname-override={node}",
    )
    return Component("kubelet", argv, enter)


def proxy(site: Site, enter: tuple[str, ...]) -> Component:
    """What leads packets for Services to their pods."""
    argv = (str(site.tools["kube-proxy"]), f"--config={site.place.config / 'kube-proxy.yaml'}")
    return Component("kube-proxy", argv, enter)


def proxy_url(addresses: Addresses) -> str:
    """Answers 200 once the rules of all Services are written."""
    return f"http://{addresses.node_ip}:10256/healthz"


def configure(site: Site, client_ca: Path, serving: Pair, node: str) -> None:
    """Write the configuration files of both."""
    place, addresses = site.place, site.addresses
    # names outside the cluster are nobody's business here: pods with dnsPolicy Default get no DNS
    files.write(place.config / "resolv.conf", "")
    config = _kubelet(place, addresses, client_ca, serving)
    files.write(place.config / "kubelet.yaml", yaml.safe_dump(config))
    files.write(place.config / "kube-proxy.yaml", yaml.safe_dump(_proxy(place, addresses, node)))


def _kubelet(place: Layout, addresses: Addresses, client_ca: Path, serving: Pair) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(client_ca)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "containerRuntimeEndpoint": containerd.ENDPOINT,
        "clusterDNS": [str(addresses.dns_service_ip)],
        "clusterDomain": DOMAIN,
        "resolvConf": str(place.config / "resolv.conf"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups.name(place.id),
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        # the disk is shared with everything else on the machine: evict late, never collect images
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "volumePluginDir": str(place.node / "volume-plugins"),
        "nodeStatusUpdateFrequency": "5s",
    }


def _proxy(place: Layout, addresses: Addresses, node: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(place.kubeconfig_of("kube-proxy"))},
        "clusterCIDR": str(addresses.pods),
        "hostnameOverride": node,
        # connection tracking's limits belong to the whole machine
        "conntrack": {"maxPerCore": 0, "min": 0},
    }
