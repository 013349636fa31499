"""What the components are told, read back from what is written for them."""

import base64
import json
import tomllib

import yaml
from devcluster import containerd, controlplane, dns, keys, kubelet, metrics
from devcluster.certificates import Pair
from devcluster.site import Site


def _flags(argv: tuple[str, ...]) -> dict[str, str]:
    pairs = (argument.removeprefix("--").partition("=") for argument in argv[1:])
    return {name: value for name, _, value in pairs}


def _api_server(site: Site, *, node: bool) -> dict[str, str]:
    made = keys.create(site.place, site.addresses)
    found = {part.name: part for part in controlplane.components(site, made, node=node)}
    return _flags(found["kube-apiserver"].argv)


def test_the_api_server_authorizes_by_node_and_rbac_in_both_shapes(site: Site) -> None:
    for node in (True, False):
        flags = _api_server(site, node=node)
        assert flags["authorization-mode"] == "Node,RBAC"
        assert flags["enable-admission-plugins"] == "NodeRestriction"


def test_without_a_real_node_everything_listens_on_loopback_only(site: Site) -> None:
    made = keys.create(site.place, site.addresses)
    told = " ".join(
        argument
        for part in controlplane.components(site, made, node=False)
        for argument in part.argv
        if "listen" in argument or "bind" in argument
    )
    assert "0.0.0.0" not in told
    assert told.count("127.0.0.1") == 5


def test_components_use_the_ports_of_their_cluster(site: Site) -> None:
    made = keys.create(site.place, site.addresses)
    used = {
        int(flags["secure-port"])
        for part in controlplane.components(site, made, node=True)
        if "secure-port" in (flags := _flags(part.argv))
    }
    assert len(used) == 3
    assert used < set(site.addresses.ports)


def test_containerd_keeps_everything_in_the_node(site: Site) -> None:
    containerd.configure(site.place, site.addresses)
    config = tomllib.loads((site.place.node / "containerd.toml").read_text())
    assert config["root"] == str(site.place.node / "containerd")
    assert config["state"].startswith("/run/")
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["restrict_oom_score_adj"] is True
    assert cri["netns_mounts_under_state_dir"] is True


def test_pods_get_addresses_of_the_cluster_and_no_way_out(site: Site) -> None:
    containerd.configure(site.place, site.addresses)
    network = json.loads((site.place.node / "cni" / "10-pods.conflist").read_text())
    (plugin,) = network["plugins"]
    assert plugin["ipam"]["ranges"] == [[{"subnet": str(site.addresses.pods)}]]
    assert plugin["ipMasq"] is False


def test_the_kubelet_asks_the_api_server_who_may_call_it(site: Site) -> None:
    pair = Pair(site.place.pki / "kubelet.crt", site.place.pki / "kubelet.key")
    kubelet.configure(site, site.place.pki / "ca.crt", pair, "node-1")
    config = yaml.safe_load((site.place.config / "kubelet.yaml").read_text())
    assert config["authentication"]["anonymous"] == {"enabled": False}
    assert config["authorization"] == {"mode": "Webhook"}
    assert config["clusterDNS"] == [str(site.addresses.dns_service_ip)]


def test_kube_proxy_leaves_the_machines_connection_tracking_alone(site: Site) -> None:
    pair = Pair(site.place.pki / "kubelet.crt", site.place.pki / "kubelet.key")
    kubelet.configure(site, site.place.pki / "ca.crt", pair, "node-1")
    config = yaml.safe_load((site.place.config / "kube-proxy.yaml").read_text())
    assert config["mode"] == "nftables"
    assert config["conntrack"] == {"maxPerCore": 0, "min": 0}


def test_a_configuration_that_did_not_change_is_not_written_again(site: Site) -> None:
    dns.configure(site)
    before = (site.place.config / "Corefile").stat().st_ino
    dns.configure(site)
    assert (site.place.config / "Corefile").stat().st_ino == before


def test_cluster_dns_is_the_service_that_pods_are_told(site: Site) -> None:
    service = next(m for m in dns.manifests(site.addresses) if m["kind"] == "Service")
    assert service["spec"]["clusterIP"] == str(site.addresses.dns_service_ip)
    corefile = dns.configure(site) or (site.place.config / "Corefile").read_text()
    assert f"bind {site.addresses.node_ip}" in corefile


def test_the_metrics_api_leads_to_the_node_and_its_server_is_checked(site: Site) -> None:
    made = keys.create(site.place, site.addresses)
    listed = {manifest["kind"]: manifest for manifest in metrics.manifests(made, site.addresses)}
    api = listed["APIService"]["spec"]
    assert base64.b64decode(api["caBundle"]) == made.cluster.pair.certificate.read_bytes()
    assert "insecureSkipTLSVerify" not in api
    (endpoint,) = listed["EndpointSlice"]["endpoints"]
    assert endpoint["addresses"] == [str(site.addresses.node_ip)]
    (port,) = listed["EndpointSlice"]["ports"]
    flags = _flags(metrics.component(site, made, ()).argv)
    assert flags["secure-port"] == str(port["port"])
    assert flags["kubelet-certificate-authority"] == str(made.cluster.pair.certificate)
