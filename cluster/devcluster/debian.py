"""Programs of the operating system that a real node needs.

Promises: installs Debian packages only as root and only those whose program is missing; else says
the command to run.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from devcluster.waiting import ClusterError

_PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
}
_CNI_PACKAGE = "containernetworking-plugins"
_CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def ensure() -> None:
    """Install what a node lacks; ClusterError names the packages where that cannot be done."""
    _install(_missing)


def ensure_program(program: str, package: str) -> None:
    """Install `package` unless `program` is there; ClusterError as for `ensure`."""
    _install(lambda: [] if _which(program) else [package])


def _install(absent: Callable[[], list[str]]) -> None:
    if not (missing := absent()):
        return
    command = f"apt-get install -y --no-install-recommends {' '.join(missing)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ClusterError(f"more programs are needed. As root: {command}")
    print(f"· installing {', '.join(missing)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in ("apt-get update", command):
        done = subprocess.run(
            step.split(),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ClusterError(f"{step} failed:\n{done.stderr[-2000:]}")
    if missing := absent():
        raise ClusterError(f"still missing after {command}: {', '.join(missing)}")


def cni_folder() -> Path:
    """Where the CNI plug-ins lie."""
    return next((folder for folder in _CNI_FOLDERS if (folder / "ptp").exists()), _CNI_FOLDERS[0])


def _missing() -> list[str]:
    missing = [package for program, package in _PACKAGES.items() if not _which(program)]
    return missing if (cni_folder() / "ptp").exists() else [*missing, _CNI_PACKAGE]


def _which(program: str) -> str | None:
    return shutil.which(program, path=_PATH)
