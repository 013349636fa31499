"""Runs kubectl, or helm, against one cluster."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def run(
    tool: Path, kubeconfig: Path, arguments: Sequence[str], stdin: str | None, timeout: float
) -> str:
    """The output of the tool. CalledProcessError, with what it said shown, where it fails."""
    result = subprocess.run(
        [tool, *arguments],
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if result.returncode:
        failure = subprocess.CalledProcessError(
            result.returncode, [tool.name, *arguments], result.stdout, result.stderr
        )
        failure.add_note(result.stderr.strip())
        raise failure
    sys.stderr.write(result.stderr)  # warnings
    return result.stdout


def apply(tool: Path, kubeconfig: Path, manifests: Iterable[dict[str, Any]]) -> None:
    """Server-side apply; safe to repeat."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
    arguments = ["apply", "--server-side", "--force-conflicts", "--field-manager=devcluster"]
    run(tool, kubeconfig, [*arguments, "-f", "-"], text, timeout=60)
