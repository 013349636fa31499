"""A cluster in Docker, by the kind command: for machines where the embedded node cannot run.

Promises: the same kubeconfig, folder and fake nodes as the embedded provider; only clusters named
devcluster-<name> are touched. kind brings its own Kubernetes version.
"""

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from devcluster import failures, files, kubectl, kwok, layout, tools
from devcluster.addresses import Addresses
from devcluster.layout import Layout
from devcluster.processes import Processes
from devcluster.site import Site
from devcluster.state import State
from devcluster.waiting import ClusterError

_NODE_HOME = PurePosixPath("/devcluster")  # the cache, as the node sees it
_SECONDS = 600


def name(place: Layout) -> str:
    """What kind calls the cluster."""
    return f"devcluster-{place.folder.name}"


def config() -> dict[str, Any]:
    """kind's configuration: one node, which sees this package's cache below /devcluster."""
    mount = {"hostPath": str(layout.home()), "containerPath": str(_NODE_HOME)}
    return {
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "kind": "Cluster",
        "nodes": [{"role": "control-plane", "extraMounts": [mount]}],
    }


def create_command(place: Layout) -> list[str]:
    return [
        "kind",
        "create",
        "cluster",
        f"--name={name(place)}",
        f"--config={place.folder / 'kind.yaml'}",
        f"--kubeconfig={place.kubeconfig}",
        "--wait=180s",
    ]


def export_command(place: Layout) -> list[str]:
    """Writes the kubeconfig of a cluster that exists."""
    return [
        "kind",
        "export",
        "kubeconfig",
        f"--name={name(place)}",
        f"--kubeconfig={place.kubeconfig}",
    ]


def start_command(place: Layout) -> list[str]:
    """Starts the node of a cluster that exists, if Docker stopped it."""
    return ["docker", "start", f"{name(place)}-control-plane"]


def load_command(place: Layout, archive: Path) -> list[str]:
    """Loads an image archive into the node."""
    return ["kind", "load", "image-archive", str(archive), f"--name={name(place)}"]


def delete_command(place: Layout) -> list[str]:
    """Removes the cluster; kind succeeds where there is none."""
    return [
        "kind",
        "delete",
        "cluster",
        f"--name={name(place)}",
        f"--kubeconfig={place.kubeconfig}",
    ]


def node_path(below: Path) -> PurePosixPath:
    """Where the node sees a file of the cache, given relative to it."""
    return _NODE_HOME / below


def exists(place: Layout) -> bool:
    """Whether kind is there and says that it has the cluster."""
    if shutil.which("kind"):
        with suppress(*failures.EXPECTED):  # Docker may be stopped
            return name(place) in _run(["kind", "get", "clusters"]).split()
    return False


def up(place: Layout) -> None:
    """Create the cluster, or start it; returns once its node is Ready.

    One that does not become Ready, of an `up` that was killed, is made anew.
    """
    if exists(place):
        try:
            _start(place)
        except failures.EXPECTED as error:
            print(f"· kind's cluster is made anew: {failures.text(error)}", flush=True)
            _run(delete_command(place))
        else:
            return
    print("· kind creates the cluster (minutes the first time)", flush=True)
    files.write(place.folder / "kind.yaml", yaml.safe_dump(config()))
    _run(create_command(place))


def _start(place: Layout) -> None:
    _run(start_command(place))
    _run(export_command(place))
    wait = ("wait", "--for=condition=Ready", "nodes", "--selector=type!=kwok", "--timeout=180s")
    kubectl.run(tools.ensure("kubectl")["kubectl"], place.kubeconfig, wait, None, timeout=200)


def load(place: Layout, archive: Path) -> None:
    """Load an image archive into the node."""
    _run(load_command(place, archive))


def start_fake_nodes(place: Layout, state: State) -> None:
    """Run the controller of fake nodes on this machine, where it does not run."""
    files.write(place.kubeconfig_of("kwok"), place.kubeconfig.read_text())
    site = Site(place, Addresses(state.index), tools.ensure("kwok"))
    site.ensure(kwok.component(site))


def down(place: Layout) -> None:
    """Remove the cluster and the controller of its fake nodes."""
    if Path("/proc").exists():
        Processes(place.folder, place.logs).stop_all()
    _run(delete_command(place))


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
