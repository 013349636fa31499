"""Of a pod that does not do what it should: what Kubernetes, its log and the kernel say of it."""

import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.e2e.service import Manifest, Service

_LINES = 5
_FRAMES = 4
_THREADS = 8
_SAID = ("Name", "State")


def standing(service: Service) -> str:
    """A few lines a pod, for the message of a test that fails."""
    return "\n".join(line for pod in service.items("pods") for line in _pod(service, pod))


def _pod(service: Service, pod: Manifest) -> list[str]:
    metadata, status = pod["metadata"], pod["status"]
    name, uid = metadata["name"], metadata["uid"]
    states = {c["name"]: c["state"] for c in status.get("containerStatuses", ())}
    said = ""
    with suppress(subprocess.SubprocessError):
        said = service.kubectl("logs", name, f"--tail={_LINES}")
    return [
        f"{name}: {status['phase']}, deleted {metadata.get('deletionTimestamp')}, {states}",
        *(f"  log: {line}" for line in said.splitlines()),
        *(f"  {line}" for folder in Path("/proc").iterdir() for line in _process(folder, uid)),
    ]


def _process(folder: Path, uid: str) -> list[str]:
    """Where its threads are in the kernel, if it is one of the pod's."""
    with suppress(OSError):
        if folder.name.isdigit() and uid in (folder / "cgroup").read_text().replace("_", "-"):
            command = (folder / "cmdline").read_text().replace("\0", " ")[:80]
            most = Counter(map(_thread, (folder / "task").iterdir())).most_common(_THREADS)
            told = [f"  {count} threads: {thread}" for thread, count in most]
            return [f"process {folder.name}: {command}", *told]
    return []


def _thread(task: Path) -> str:
    name, state = ((task / "status").read_text().partition(f"{of}:\t")[2] for of in _SAID)
    frames = (task / "stack").read_text().splitlines()[:_FRAMES]
    where = " < ".join(frame.rpartition(" ")[2] for frame in frames)
    return f"{name.partition(chr(10))[0]}, {state.partition(chr(10))[0]}: {where}"
