"""The control groups of a node, in every hierarchy that this machine has mounted.

Promises: touches only groups named devcluster-<id>. Works with version 1, version 2 and both.
"""

from contextlib import suppress
from pathlib import Path

from devcluster.waiting import wait_until


def name(identity: str) -> str:
    """The group's path inside each hierarchy, as the kubelet wants it."""
    return f"/devcluster-{identity}"


def create(identity: str) -> None:
    """Make the group in every hierarchy; the kubelet refuses to start without."""
    for root in _hierarchies():
        available = root / "cgroup.controllers"
        for controller in available.read_text().split() if available.exists() else []:
            # version 2 only: a group has what its parent hands down; some cannot be
            with suppress(OSError):
                (root / "cgroup.subtree_control").write_text(f"+{controller}")
        (root / name(identity).lstrip("/")).mkdir(exist_ok=True)


def remove(identity: str) -> None:
    """Remove the group and all below it; its processes must be gone, or nearly."""

    def gone() -> bool:
        left = [root / name(identity).lstrip("/") for root in _hierarchies()]
        return all(_removed(group) for group in left)

    wait_until(f"removing control groups {name(identity)}", gone, 10)


def _removed(group: Path) -> bool:
    if not group.exists():
        return True
    children = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
    for folder in (*children, group):
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:  # a process in it is still dying
            return False
    return True


def _hierarchies() -> list[Path]:
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(mount[1]) for mount in mounts if mount[2] in ("cgroup", "cgroup2")]
