"""Programs of the operating system that a real node needs.

Promises: installs Debian packages only as root and only those whose program is missing; else says
the command to run. One installation at a time; no service of a package is started by it.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from devcluster import layout, locks
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
_POLICY = Path("/usr/sbin/policy-rc.d")
_OURS = "# devcluster"
_SECONDS = 1800.0
_LOCK = ("-o", "DPkg::Lock::Timeout=300")  # seconds; held by the machine's own upgrades


def path() -> str:
    """PATH with the folders of the system's own programs, which a user's may lack."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def ensure() -> None:
    """Install what a node lacks; ClusterError names the packages where that cannot be done."""
    _install(_missing)


def ensure_program(program: str, package: str) -> None:
    """Install `package` unless `program` is there; ClusterError as for `ensure`."""
    _install(lambda: [] if _which(program) else [package])


def _install(absent: Callable[[], list[str]]) -> None:
    if not (missing := absent()):
        return
    names = " ".join(missing)
    if not shutil.which("apt-get"):
        raise ClusterError(f"more programs are needed: install what Debian calls {names}")
    command = f"apt-get install -y --no-install-recommends {names}"
    if os.geteuid() != 0:
        raise ClusterError(f"more programs are needed. As root: {command}")
    with _alone(), _no_services():
        if missing := absent():  # not installed by another process meanwhile
            print(f"· installing {', '.join(missing)}", flush=True)
            _apt("update")
            _apt("install", "-y", "--no-install-recommends", *missing)
    if missing := absent():
        raise ClusterError(f"still missing after {command}: {', '.join(missing)}")


def _apt(*arguments: str) -> None:
    done = subprocess.run(
        ["apt-get", *_LOCK, *arguments],
        env={**os.environ, "PATH": path(), "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
        start_new_session=True,  # an interrupt must not leave packages half installed
    )
    if done.returncode:
        raise ClusterError(f"apt-get {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")


@contextmanager
def _no_services() -> Generator[None]:
    """Have Debian start no service, unless the machine has its own policy on that.

    The policy holds as long as this process has the lock, so that one left behind does nothing.
    """
    if _POLICY.exists() and not _own_policy():
        yield
        return
    lock = shlex.quote(str(_lock()))
    free = f"[ ! -e {lock} ] || flock --nonblock {lock} true"
    _POLICY.write_text(f"#!/bin/sh\n{_OURS}\n{free} || exit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def forget() -> None:
    """Remove what an installation that was killed left behind."""
    if os.geteuid() == 0 and _POLICY.exists():
        with _alone():
            if _own_policy():
                _POLICY.unlink()


def _own_policy() -> bool:
    return _POLICY.exists() and _OURS in _POLICY.read_text()


def _lock() -> Path:
    return layout.home() / ".apt.lock"


def _alone() -> AbstractContextManager[None]:
    return locks.held(_lock(), "installing packages")


def cni_folder() -> Path:
    """Where the CNI plug-ins lie."""
    return next((folder for folder in _CNI_FOLDERS if (folder / "ptp").exists()), _CNI_FOLDERS[0])


def _missing() -> list[str]:
    missing = [package for program, package in _PACKAGES.items() if not _which(program)]
    return missing if (cni_folder() / "ptp").exists() else [*missing, _CNI_PACKAGE]


def _which(program: str) -> str | None:
    return shutil.which(program, path=path())
