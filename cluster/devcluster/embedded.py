"""A cluster of processes on this machine: the provider that needs nothing but Go modules.

Promises: `up` starts what does not run, whatever state it finds; `down` needs no record of what was
started and works after an `up` that was killed.
"""

from devcluster import controlplane, inotify, keys, kubectl, kwok, node, tools
from devcluster.addresses import Addresses
from devcluster.layout import Layout
from devcluster.processes import Processes
from devcluster.site import Site
from devcluster.state import State

# measured: files of certificates and configuration that the components watch
_WATCHERS = 12
_WATCHERS_OF_NODE = 24


def up(place: Layout, state: State) -> None:
    """Bring up the control plane, the controller of fake nodes and, if asked for, the real node."""
    real = state.shape == "node"
    programs = tools.ensure(*tools.CONTROL_PLANE, *(tools.NODE if real else ()))
    site = Site(place, Addresses(state.index), programs)
    if not site.processes.any():
        inotify.ensure(_WATCHERS_OF_NODE if real else _WATCHERS)
    for folder in (place.config, place.logs, place.shared):
        folder.mkdir(parents=True, exist_ok=True)
    # before the API server, which gives out the address at its end of the cable
    enter = node.prepare(site) if real else ()
    made = keys.create(place, site.addresses)
    controlplane.start(site, made, node=real)
    kubectl.apply(programs["kubectl"], place.kubeconfig, kwok.rbac())
    made.identity("kwok", controlplane.api_url(site.addresses), kwok.USER)
    site.ensure(kwok.component(site))
    if real:
        node.start(site, made, enter)


def down(place: Layout) -> None:
    """End every process of the cluster and remove what would outlive them outside its folder."""
    Processes(place.folder, place.logs).stop_all()
    node.remove(place)
