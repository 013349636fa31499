"""Every static check of the repository, each with its time; all run, and one failure fails."""

import subprocess
import sys
import time

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
    passed = True
    for name, command in checks().items():
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
        verdict = "ok" if done.returncode == 0 else "FAILED"
        print(f"lint: {name:15} {verdict} ({time.monotonic() - begun:.1f} s)", flush=True)
        if done.returncode:
            print(done.stdout, flush=True)
            passed = False
    return passed


if __name__ == "__main__":
    sys.exit(not run())
