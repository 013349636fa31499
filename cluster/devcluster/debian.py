"""Programs of the operating system that a real node needs.

Promises: installs Debian packages only as root and only those whose program is missing; else says
the command to run.
"""

import os
import shutil
import subprocess
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
    """Install what is missing; ClusterError names the packages where that cannot be done."""
    if not (missing := _missing()):
        return
    command = f"apt-get install -y --no-install-recommends {' '.join(missing)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ClusterError(f"a real node needs more programs. As root: {command}")
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
    if missing := _missing():
        raise ClusterError(f"still missing after {command}: {', '.join(missing)}")


def cni_folder() -> Path:
    """Where the CNI plug-ins lie."""
    return next((folder for folder in _CNI_FOLDERS if (folder / "ptp").exists()), _CNI_FOLDERS[0])


def _missing() -> list[str]:
    missing = [package for program, package in _PACKAGES.items() if not _which(program)]
    return missing if (cni_folder() / "ptp").exists() else [*missing, _CNI_PACKAGE]


def _which(program: str) -> str | None:
    return shutil.which(program, path=_PATH)
