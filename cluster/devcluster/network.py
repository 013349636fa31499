"""The cable between the host and the node: one pair of virtual interfaces and one route.

Promises: on the host only the interface devc<id> and the route through it exist, and removing the
interface removes both; the host's sysctls and firewall rules are left alone. The node has no way
out but this cable and no default route, so that no packet of a pod leaves the machine.
"""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from devcluster.addresses import Addresses
from devcluster.waiting import ClusterError


def interface(identity: str) -> str:
    """The host's end of the cable."""
    return f"devc{identity}"


def connect(identity: str, addresses: Addresses, init: int, enter: Sequence[str]) -> bool:
    """Lay the cable to the node whose first process is `init`; True where it was laid anew."""
    cable = interface(identity)
    if _routes(cable) and _inside(enter, ["link", "show", "eth0"]):
        return False
    disconnect(identity)
    _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(init))
    inside = [
        f"address replace {addresses.node_ip}/{addresses.link.prefixlen} dev eth0",
        "link set eth0 up",
        # a packet for a Service that is gone dies in this bridge, to which nothing is connected
        "link set services up",
        f"route replace {addresses.services} dev services src {addresses.node_ip}",
    ]
    if not _inside(enter, ["link", "show", "services"]):
        inside.insert(0, "link add services type bridge")
    for command in inside:
        _run([*enter, "ip", *command.split()])
    _ip("address", "replace", f"{addresses.host_ip}/{addresses.link.prefixlen}", "dev", cable)
    _ip("link", "set", cable, "up")
    # last, since it is the sign that all the rest is there
    _ip("route", "replace", str(addresses.block), "via", str(addresses.node_ip), "dev", cable)
    return True


def disconnect(identity: str) -> None:
    """Remove the cable, if there is one."""
    cable = interface(identity)
    deleted = _said(["ip", "link", "delete", cable])
    # it may have gone by itself: the kernel removes it some time after the node's last process
    if deleted.returncode and _said(["ip", "link", "show", cable]).returncode == 0:
        raise ClusterError(f"removing {cable}: {deleted.stderr.strip()}")


def _routes(cable: str) -> list[dict[str, Any]]:
    said = _said(["ip", "-json", "route", "show", "dev", cable, "proto", "boot"])
    return json.loads(said.stdout or "[]") if said.returncode == 0 else []


def _inside(enter: Sequence[str], arguments: list[str]) -> bool:
    return _said([*enter, "ip", *arguments]).returncode == 0


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(command: list[str]) -> None:
    done = _said(command)
    if done.returncode:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()}")


def _said(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
