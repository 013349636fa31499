"""What the proxy is measured beside, each in a virtual environment of its own, pinned by hash.

Promises: made once for each content of its lock file, below devcluster's cache; whole or not at
all; nothing of it enters the project's own environment.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from devcluster import layout, locks

from bench.server.process import Command
from dev.process import free_port
from dev.progress import step

LOCKS = Path(__file__).with_name("rivals")
_SECONDS = 900.0


def router(upstream: int) -> Command:
    """vllm-router, in Rust, with one worker behind it."""
    port = free_port()
    words = (
        *(str(installed("router") / "vllm-router"), f"--worker-urls=http://127.0.0.1:{upstream}"),
        *("--policy=round_robin", "--host=127.0.0.1", f"--port={port}", "--log-level=warning"),
        f"--prometheus-port={free_port()}",
    )
    return Command("vllm-router", words, port, ready="/health")


def installed(rival: str, more: Callable[[Path], None] = lambda _: None, said: str = "") -> Path:
    """The folder of its programs. more: what else is made beside them, in the folder above.

    said: what decides about that.
    """
    lock = LOCKS / f"{rival}.lock"
    digest = hashlib.sha256(f"{sys.version}{lock.read_text()}{said}".encode()).hexdigest()[:12]
    place = layout.home() / "bench" / f"{rival}-{digest}"
    with locks.held(layout.home() / ".bench.lock", "installing what is measured beside ours"):
        if not (made := place / "made").exists():
            with step(rival, "its packages from the package index"):
                _install(lock, place)
                more(place)
            made.touch()
    return place / "bin"


def _install(lock: Path, place: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    for words in (
        (uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)),
        (
            *(uv, "pip", "install", "--quiet", "--compile-bytecode", "--require-hashes"),
            *("--python", str(place / "bin/python"), "-r", str(lock)),
        ),
    ):
        environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
        subprocess.run(words, env=environment, check=True, timeout=_SECONDS)
