"""What was asked of each cluster, and which index it got.

Promises: no two clusters of this cache get the same index, and none gets one whose ports are taken
or whose range the machine already routes elsewhere. A cluster's record appears whole or not at all
and goes with its folder.
"""

import json
import shutil
import socket
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Network
from typing import Any, Literal, get_args

from devcluster import layout, locks
from devcluster.addresses import MAX_CLUSTERS, RANGE, Addresses
from devcluster.layout import Layout
from devcluster.waiting import ClusterError

Shape = Literal["kwok", "node"]
Provider = Literal["embedded", "kind"]

_LEAST_SPECIFIC = 8  # bits of a route that is about some networks, not about all of them


@dataclass(frozen=True)
class State:
    """A cluster that was asked for."""

    shape: Shape
    provider: Provider
    index: int = 0


def read(place: Layout) -> State | None:
    """The record of the cluster, None where there is none that can be read."""
    try:
        state = State(**json.loads(place.state.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    known = state.shape in get_args(Shape) and state.provider in get_args(Provider)
    return state if known and state.index in range(MAX_CLUSTERS) else None


def free_here(addresses: Addresses) -> bool:
    """Whether nobody on this machine listens on these ports or routes this range."""
    if any(addresses.block.overlaps(network) for network in _routed()):
        return False
    return all(_free(port) for port in addresses.ports)


def claim(place: Layout, wanted: State, usable: Callable[[Addresses], bool] = free_here) -> State:
    """The record of this cluster; where there is none, `wanted` with an index that is free."""
    with locks.held(layout.clusters() / ".lock", "choosing ports"):
        if state := read(place):
            return state
        taken = {state.index for _, state in known()}
        free = (index for index in range(MAX_CLUSTERS) if index not in taken)
        index = next((index for index in free if usable(Addresses(index))), None)
        if index is None:
            routed = ", ".join(str(network) for network in _routed() if network.overlaps(RANGE))
            raise ClusterError(
                f"all {MAX_CLUSTERS} sets of ports and ranges are in use"
                f"{f' (routed: {routed})' if routed else ''}: "
                "take a cluster down (.venv/bin/python -m devcluster list)"
            )
        state = replace(wanted, index=index)
        place.folder.mkdir(parents=True, exist_ok=True)
        fresh = place.state.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(state)))
        fresh.replace(place.state)
        return state


def known() -> list[tuple[str, State]]:
    """Every recorded cluster by name."""
    folder = layout.clusters()
    names = sorted(entry.name for entry in folder.glob("[!.]*"))
    found = ((name, read(Layout(folder / name))) for name in names)
    return [(name, state) for name, state in found if state is not None]


def exclusive(name: str) -> AbstractContextManager[None]:
    """Hold the cluster: `up` and `down` of one cluster wait for each other."""
    return locks.held(layout.clusters() / f".{name}.lock", f"up or down of cluster {name}")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _routed() -> list[IPv4Network]:
    """What this machine routes somewhere already, default routes aside, a VPN's two halves too."""
    if not shutil.which("ip"):
        return []
    said = subprocess.run(
        ["ip", "-json", "-4", "route", "show", "table", "all"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    routes: list[dict[str, Any]] = json.loads(said.stdout) if said.returncode == 0 else []
    targets = (IPv4Network(str(route["dst"]).replace("default", "0.0.0.0/0")) for route in routes)
    return [target for target in targets if target.prefixlen >= _LEAST_SPECIFIC]
