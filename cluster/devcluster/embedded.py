"""A cluster of processes on this machine: the provider that needs nothing but Go modules.

Promises: `up` starts what does not run, whatever state it finds; `down` needs no record of what was
started and works after an `up` that was killed.
"""

import shutil

from devcluster import controlplane, kubectl, kwok, tools
from devcluster.addresses import Addresses
from devcluster.layout import Layout
from devcluster.processes import Processes
from devcluster.state import State


def up(place: Layout, state: State) -> None:
    """Bring up the control plane, the controller of fake nodes and, if asked for, the real node."""
    addresses = Addresses(state.index)
    programs = tools.ensure(*tools.CONTROL_PLANE)
    for folder in (place.config, place.logs, place.shared):
        folder.mkdir(parents=True, exist_ok=True)
    processes = Processes(place.folder, place.logs)
    made = controlplane.start(place, addresses, programs, processes, node=False)
    kubectl.apply(programs["kubectl"], place.kubeconfig, kwok.rbac())
    own = controlplane.identity(place, addresses, made, "kwok", kwok.USER)
    if processes.ensure(kwok.component(place, addresses, programs["kwok"], own)):
        print("· started kwok", flush=True)


def down(place: Layout) -> None:
    """End every process of the cluster and remove its folder."""
    Processes(place.folder, place.logs).stop_all()
    shutil.rmtree(place.folder, ignore_errors=True)
