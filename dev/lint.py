"""Every static check of the repository, each with its time; all run, and one failure fails."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from devcluster import tools

_BIN = ".venv/bin"


def checks() -> dict[str, list[str]]:
    helm = str(tools.ensure("helm")["helm"])
    return {
        "style": [f"{_BIN}/ruff", "check", "."],
        "format": [f"{_BIN}/ruff", "format", "--check", "."],
        "types": [f"{_BIN}/pyright"],
        "import rules": [f"{_BIN}/lint-imports"],
        "generated files": [sys.executable, "-m", "dev.generate", "--check"],
        "chart": [helm, "lint", "--strict", "--quiet", "charts/llmservice-operator"],
    }


def run() -> bool:
    """True where every check passed; the output of those that did not is printed."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(_checked, name, command) for name, command in checks().items()]
        passed = True
        for check in running:
            ok, said = check.result()
            print(said, flush=True)
            passed = passed and ok
    return passed


def _checked(name: str, command: list[str]) -> tuple[bool, str]:
    """Whether it passed, and what there is to say of it."""
    begun = time.monotonic()
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    passed = done.returncode == 0
    verdict = "ok" if passed else "FAILED"
    said = f"lint: {name:15} {verdict} ({time.monotonic() - begun:.1f} s)"
    return passed, said if passed else f"{said}\n{done.stdout}"


if __name__ == "__main__":
    sys.exit(not run())
