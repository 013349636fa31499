"""One real node in namespaces of its own: container runtime, kubelet, kube-proxy, cluster DNS and
metrics.

Promises: all its processes live in one process namespace and all its mounts in one mount namespace,
so they end with its first process; its rules and interfaces live in one network namespace. The host
sees one interface, one route and one control group.
"""

import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

from devcluster import cgroups, containerd, debian, dns, kubectl, kubelet, metrics, network
from devcluster.keys import Keys
from devcluster.layout import Layout
from devcluster.processes import Component
from devcluster.site import Site
from devcluster.waiting import ClusterError, wait_until

NAME = "node-1"
_INIT = Path(__file__).with_name("node-init.sh")
# sun_path holds 108 bytes, the last one zero: unix(7)
_LONGEST_SOCKET_PATH = 107


def prepare(site: Site) -> tuple[str, ...]:
    """Make the namespaces and the cable; returns the command that enters them."""
    place = site.place
    if len(str(containerd.socket(place))) > _LONGEST_SOCKET_PATH:
        raise ClusterError(f"{place.node} is too long for a socket's path: set XDG_CACHE_HOME")
    debian.ensure()
    cgroups.create(place.id)
    new = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--")
    init = Component("node-init", ("bash", str(_INIT), str(place.node)), new)
    if site.processes.running(init) is None:
        _fresh_folders(place)
        site.ensure(init)
    wait_until(
        "setting up the node's namespaces",
        (place.node / "run" / "ready").exists,
        10,
        lambda: site.processes.tail(init.name),
    )
    pid = site.processes.require(init)
    enter = ("nsenter", f"--target={pid}", "--net", "--mount", "--pid", "--")
    if network.connect(place.id, site.addresses, pid, enter):
        print(f"· connected the node by {network.interface(place.id)}", flush=True)
    return enter


def start(site: Site, keys: Keys, enter: tuple[str, ...]) -> None:
    """Start what does not run and wait until the node is Ready and resolves names."""
    place, addresses = site.place, site.addresses
    _configure(site, keys)
    runtime = containerd.component(place, enter)
    site.ensure(runtime)
    site.wait(runtime, lambda: containerd.answers(place))
    containerd.import_pause_image(place, site.tools["pause"])
    services = [*dns.manifests(addresses), *metrics.manifests(keys, addresses)]
    kubectl.apply(site.tools["kubectl"], place.kubeconfig, services)
    agent = kubelet.kubelet(site, enter, NAME)
    proxy = kubelet.proxy(site, enter)
    names = dns.component(site, enter)
    uses = metrics.component(site, keys, enter)
    before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    since = before if site.ensure(agent) else ""
    for component in (proxy, names, uses):
        site.ensure(component)
    site.wait(agent, lambda: _ready(site, since))
    site.wait(proxy, lambda: _answers(kubelet.proxy_url(addresses)))
    site.wait(names, lambda: _answers(dns.ready_url(addresses)))
    site.wait(uses, lambda: metrics.answers(site))


def remove(place: Layout) -> None:
    """What of the node would outlive its processes."""
    if shutil.which("ip"):
        network.disconnect(place.id)
    cgroups.remove(place.id)
    debian.forget()


def _fresh_folders(place: Layout) -> None:
    """A node that starts anew has no old sockets; its images stay."""
    shutil.rmtree(place.node / "run", ignore_errors=True)
    for folder in ("run", "log", "kubelet", "sysctl", "containerd"):
        (place.node / folder).mkdir(parents=True, exist_ok=True)
    for setting, value in kubelet.SYSCTLS.items():
        (place.node / "sysctl" / setting).write_text(f"{value}\n")
    # a place to mount on, which the kubelet's socket for devices cannot do without
    Path("/var/lib/kubelet").mkdir(exist_ok=True)


def _configure(site: Site, keys: Keys) -> None:
    addresses = site.addresses
    server = f"https://{addresses.host_ip}:{addresses.api_port}"
    keys.identity("kubelet", server, f"system:node:{NAME}", "system:nodes")
    keys.identity("kube-proxy", server, "system:kube-proxy")
    keys.identity("coredns", server, dns.USER)
    keys.identity("metrics-server", server, metrics.USER)
    serving = keys.cluster.issue(
        "kubelet-serving", f"system:node:{NAME}", addresses=[str(addresses.node_ip), NAME]
    )
    containerd.configure(site.place, addresses)
    kubelet.configure(site, keys.cluster.pair.certificate, serving, NAME)
    dns.configure(site)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310  our own address
            return response.status == 200
    except OSError:
        return False


def _ready(site: Site, since: str) -> bool:
    """Whether the kubelet has said so since then: what one before it said stays for a while."""
    words = "{.status} {.lastHeartbeatTime}"
    path = '{range .status.conditions[?(@.type=="Ready")]}' + words + "{end}"
    arguments = ["get", "node", NAME, "--ignore-not-found", "-o", f"jsonpath={path}"]
    tool, own = site.tools["kubectl"], site.place.kubeconfig
    try:
        said = kubectl.run(tool, own, arguments, None, timeout=10)
    except subprocess.SubprocessError:  # the API server may be busy: asked again
        return False
    status, _, heard = said.partition(" ")
    return status == "True" and heard >= since
