"""What the proxy is measured beside, each in a virtual environment of its own, pinned by hash.

Promises: made once for each content of its lock file, below devcluster's cache; whole or not at
all; nothing of it enters the project's own environment.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from devcluster import layout, locks

from bench.server import request
from bench.server.process import Command
from dev.process import free_port
from dev.progress import step

_LOCKS = Path(__file__).with_name("rivals")
_SECONDS = 900.0
_START = 120.0  # seconds until LiteLLM serves


def litellm(upstream: int, folder: Path) -> Command:
    """LiteLLM's proxy: one worker, a master key and no database."""
    port = free_port()
    params = {
        "model": f"openai/{request.MODEL}",
        "api_base": f"http://127.0.0.1:{upstream}/v1",
        "api_key": "sk-upstream",
    }
    config = folder / "litellm.yaml"  # JSON is YAML
    config.write_text(
        json.dumps(
            {
                "model_list": [{"model_name": request.MODEL, "litellm_params": params}],
                "general_settings": {"master_key": request.KEY},
            }
        )
    )
    words = (
        *(str(_installed("litellm") / "litellm"), f"--config={config}", f"--port={port}"),
        *("--host=127.0.0.1", "--num_workers=1"),
    )
    # As its documentation has it for production; and nothing is fetched from anywhere.
    environment = {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    return Command(
        "LiteLLM",
        words,
        port,
        ready="/health/readiness",
        environment=environment,
        patience=_START,
    )


def router(upstream: int) -> Command:
    """vllm-router, in Rust, with one worker behind it."""
    port = free_port()
    words = (
        *(str(_installed("router") / "vllm-router"), f"--worker-urls=http://127.0.0.1:{upstream}"),
        *("--policy=round_robin", "--host=127.0.0.1", f"--port={port}", "--log-level=warning"),
        f"--prometheus-port={free_port()}",
    )
    return Command("vllm-router", words, port, ready="/health")


def _installed(rival: str) -> Path:
    """The folder of its programs."""
    lock = _LOCKS / f"{rival}.lock"
    digest = hashlib.sha256(f"{sys.version}{lock.read_text()}".encode()).hexdigest()[:12]
    place = layout.home() / "bench" / f"{rival}-{digest}"
    with locks.held(layout.home() / ".bench.lock", "installing what is measured beside ours"):
        if not (made := place / "made").exists():
            with step(rival, "its packages from the package index"):
                _install(lock, place)
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
