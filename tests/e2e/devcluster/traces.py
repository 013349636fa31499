"""What a cluster with a real node has on this machine, read from the kernel."""

import json
import math
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from devcluster import cgroups, network
from devcluster.layout import Layout

_NAMESPACES = ("net", "mnt", "pid")
_SETTINGS = ("net/ipv4/ip_forward", "vm", "kernel/panic", "kernel/keys")


def _setting(name: str) -> str:
    folder = Path("/proc/sys", name)
    files = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    readable = [file for file in files if file.stat().st_mode & 0o400]
    return "\n".join(f"{file}={file.read_text().strip()}" for file in readable)


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Host:
    """What belongs to the machine and no cluster may change.

    Network namespaces are those with a name; what runs in others, see `processes`.
    """

    rules: str
    settings: str
    mounts: str
    links: list[str]
    net_namespaces: str

    @classmethod
    def now(cls, place: Layout) -> "Host":
        """All but the cables of clusters: this one's see `outside_folder`, others' may come."""
        cable = network.interface(place.id).removesuffix(place.id)
        return cls(
            rules=_said("nft", "list", "ruleset"),
            settings="\n".join(map(_setting, _SETTINGS)),
            mounts=Path("/proc/self/mounts").read_text(),
            links=[link for link in _links() if not link.startswith(cable)],
            net_namespaces=_said("ip", "netns", "list"),
        )


def init(place: Layout) -> int | None:
    """The node's first process."""
    ends = f"node-init.sh {place.node}"
    lines = {entry: _cmdline(entry) for entry in _processes()}
    found = (e for e, line in lines.items() if line.startswith("bash") and line.endswith(ends))
    return next((int(entry.name) for entry in found), None)


@dataclass(frozen=True)
class Inside:
    """The namespaces of the node's first process and of its pods, as they were at a moment.

    at: in ticks since the machine started. The kernel gives the number of a namespace that ended
    to the next one, of whatever cluster: who runs in it later says nothing about this one. What is
    born of the node later ends with the process namespaces of those that were there.
    """

    namespaces: frozenset[str]
    at: float

    @classmethod
    def now(cls, place: Layout) -> "Inside":
        at = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
        first, pods = init(place), f"{cgroups.name(place.id)}/"
        inside = [entry for entry in _processes() if pods in _read(entry / "cgroup")]
        if first:
            inside.append(Path(f"/proc/{first}"))
        return cls(frozenset(own for entry in inside for own in _own_namespaces(entry)), at)

    def holds(self, entry: Path) -> bool:
        return bool(_own_namespaces(entry) & self.namespaces) and _started(entry) <= self.at


def processes(place: Layout, inside: Inside | None = None) -> dict[int, str]:
    """Command lines by number: those that name the cluster's folder or run inside of it."""
    found: dict[int, str] = {}
    for entry in _processes():
        line = _cmdline(entry)
        if (inside and inside.holds(entry)) or f"{place.folder}/" in line:
            found[int(entry.name)] = line
    return found


def outside_folder(place: Layout) -> list[str]:
    """Interfaces, routes and control groups of the cluster."""
    cable = network.interface(place.id)
    names = [link for link in _links() if link == cable]
    routes = [line for line in _said("ip", "route").splitlines() if cable in line]
    groups = list(Path("/sys/fs/cgroup").glob(f"**{cgroups.name(place.id)}"))
    return [*names, *routes, *map(str, groups)]


def _links() -> list[str]:
    links: list[dict[str, str]] = json.loads(_said("ip", "-json", "link", "show"))
    return sorted(link["ifname"] for link in links)


def _processes() -> list[Path]:
    return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _own_namespaces(entry: Path) -> set[str]:
    try:
        return {str((entry / "ns" / kind).readlink()) for kind in _NAMESPACES}
    except OSError:  # it ended meanwhile
        return set()


def _started(entry: Path) -> float:
    """In ticks since the machine started; proc(5), stat, field 22. Infinite where it has ended."""
    _, _, fields = _read(entry / "stat").rpartition(") ")
    return float(fields.split()[19]) if fields else math.inf


def _cmdline(entry: Path) -> str:
    return _read(entry / "cmdline").replace("\0", " ").strip()


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # it ended meanwhile
        return ""
