"""The node's container runtime: its configuration, its images and the pods' network.

Promises: root, state, socket and configuration of its own, so that a containerd of the machine is
never touched.
"""

import json
import subprocess
from pathlib import Path

from devcluster import debian, failures, files, pause
from devcluster.addresses import Addresses
from devcluster.layout import Layout
from devcluster.processes import Component
from devcluster.waiting import ClusterError

# as the node sees it; the host finds the same socket at `socket()`
ENDPOINT = "unix:///run/containerd/containerd.sock"


def socket(place: Layout) -> Path:
    """The socket as processes of the host see it; images live in its namespace "k8s.io"."""
    return place.node / "run" / "containerd" / "containerd.sock"


def component(place: Layout, enter: tuple[str, ...]) -> Component:
    return Component("containerd", ("containerd", f"--config={_config(place)}"), enter)


def configure(place: Layout, addresses: Addresses) -> None:
    """Write its configuration files."""
    networks = place.node / "cni"
    files.write(networks / "10-pods.conflist", json.dumps(_network(addresses)))
    files.write(_config(place), _toml(place, networks))


def answers(place: Layout) -> bool:
    """Whether it takes requests."""
    try:
        ctr(socket(place), "version")
    except failures.EXPECTED:
        return False
    return True


def import_pause_image(place: Layout, program: Path) -> None:
    """Give it the pause image unless it has it; ClusterError where it refuses."""
    if pause.IMAGE not in ctr(socket(place), "images", "list", "--quiet").split():
        ctr(socket(place), "images", "import", "-", stdin=pause.archive(program))


def command(address: Path, *arguments: str) -> list[str]:
    """What asks the runtime behind this socket."""
    return ["ctr", "--address", str(address), "--namespace", "k8s.io", *arguments]


def ctr(address: Path, *arguments: str, stdin: bytes = b"") -> str:
    """What the runtime behind this socket answers; ClusterError where it refuses."""
    asked = command(address, *arguments)
    done = subprocess.run(asked, input=stdin, capture_output=True, check=False, timeout=60)
    if done.returncode:
        raise ClusterError(f"ctr {' '.join(arguments)}: {done.stderr.decode().strip()}")
    return done.stdout.decode()


def _config(place: Layout) -> Path:
    return place.node / "containerd.toml"


def _toml(place: Layout, networks: Path) -> str:
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE every sandbox would die otherwise
    return f"""\
version = 2
root = {json.dumps(str(place.node / "containerd"))}
state = "/run/containerd"

[grpc]
address = "{ENDPOINT.removeprefix("unix://")}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause.IMAGE}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = {json.dumps(str(debian.cni_folder()))}
conf_dir = {json.dumps(str(networks))}

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def _network(addresses: Addresses) -> dict[str, object]:
    # every pod has a cable of its own: traffic among pods is routed and so meets the rules of
    # Services, without the bridge filter, a module that would change the host's other bridges
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": str(addresses.pods)}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": "/run/cni",  # forgotten with the pods when the node restarts
                },
            }
        ],
    }
