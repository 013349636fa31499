"""A pod that only waits, in which the demo and the tests run their client programs.

The programs are handed over as text and need only what the pod's image holds; the pod is as
restricted as any other, so that what a program reaches is what any pod of the cluster reaches.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from devcluster import Cluster, tools

NAME = "client"
_RUNS = {".py": ("python3", "-c"), ".mjs": ("node", "--input-type=module", "-e")}


def start(cluster: Cluster, namespace: str, image: str, name: str = NAME) -> None:
    """Start the pod, in place of one that ran before; returns once it is Ready."""
    cluster.kubectl("-n", namespace, "delete", "pod", name, "--ignore-not-found")
    manifest = json.dumps(_pod(namespace, image, name))
    cluster.kubectl("apply", "-f", "-", input=manifest)
    cluster.kubectl(
        "wait", "-n", namespace, f"pod/{name}", "--for=condition=Ready", "--timeout=60s", timeout=70
    )


def popen(
    cluster: Cluster,
    namespace: str,
    program: Path,
    *arguments: str,
    pod: str = NAME,
    **options: Any,
) -> subprocess.Popen[str]:
    """Start a program inside the pod; `options` are Popen's, for its input and output."""
    command = ["exec", "-i", "-n", namespace, pod, "--", *_RUNS[program.suffix]]
    return subprocess.Popen(
        [str(tools.path("kubectl")), *command, program.read_text(), *arguments],
        env={**os.environ, **cluster.env()},
        text=True,
        **options,
    )


def run(
    cluster: Cluster,
    namespace: str,
    program: Path,
    *arguments: str,
    timeout: float,
    pod: str = NAME,
) -> str:
    """What the program prints; CalledProcessError where it fails."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = popen(cluster, namespace, program, *arguments, pod=pod, **pipes)
    try:
        out, err = running.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        running.kill()
        raise
    if running.returncode:
        failure = subprocess.CalledProcessError(running.returncode, str(program), out, err)
        failure.add_note(f"{out}\n{err}")
        raise failure
    return out


def _pod(namespace: str, image: str, name: str) -> dict[str, Any]:
    container = {
        "name": "client",
        "image": image,
        "command": ["python3", "-c", "import signal; signal.pause()"],
        "resources": {
            # As much as a small server: one that waits for its turn is seen as a slow client.
            "requests": {"cpu": "250m", "memory": "32Mi"},
            "limits": {"memory": "256Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
