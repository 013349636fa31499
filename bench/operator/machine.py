"""The machine under the figures: what it is, and how much of it others used meanwhile."""

import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devcluster import Cluster

from bench import proc

_RAISED = "--kube-api-qps="


@dataclass
class Span:
    """One scenario: its seconds, the load average at its end, and cores by who used them."""

    name: str
    seconds: float = 0.0
    load: float = 0.0
    control_plane: float = 0.0
    operator: float = 0.0
    bench: float = 0.0
    others: float = 0.0

    def row(self) -> tuple[str, ...]:
        cores = (self.control_plane, self.operator, self.bench, self.others)
        return (
            self.name,
            f"{self.seconds:.1f}",
            *(f"{used:.2f}" for used in cores),
            f"{self.load:.1f}",
        )


SPAN_HEAD = (
    "scenario",
    "seconds",
    "control plane",
    "operator",
    "bench",
    "others",
    "load average",
)


@dataclass
class Machine:
    """spans: of the scenarios that ended, one after the other."""

    cluster: Cluster
    spans: list[Span]

    @contextmanager
    def span(self, name: str, operator: int | None = None) -> Generator[None]:
        """operator: its process, which must live to the end."""
        begun, before = time.monotonic(), self._used(operator)
        yield
        seconds, after = time.monotonic() - begun, self._used(operator)
        whole, plane, ours, bench = (
            (now - then) / seconds for now, then in zip(after, before, strict=True)
        )
        others = max(0.0, whole - plane - ours - bench)
        load = os.getloadavg()[0]
        self.spans.append(Span(name, seconds, load, plane, ours, bench, others))

    def controllers(self) -> str:
        """At which rate the controllers may ask the API server; that bounds how fast pods come."""
        for pid in _processes(self.cluster.layout.folder):
            argv = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            for argument in argv if "kube-controller-manager" in argv[0] else ():
                if argument.startswith(_RAISED):
                    rate = argument.removeprefix(_RAISED)
                    return f"raised to {rate} requests a second, number of workers as by default"
        return "at their defaults"

    def _used(self, operator: int | None) -> tuple[float, float, float, float]:
        whole = proc.machine_seconds(Path("/proc/stat").read_text(), proc.TICKS)
        plane = sum(map(_cpu, _processes(self.cluster.layout.folder)))
        return whole, plane, _cpu(operator) if operator else 0.0, time.process_time()


def _processes(folder: Path) -> Iterator[int]:
    """Of the cluster in that folder, as devcluster marks them."""
    mark = f"DEVCLUSTER_PROCESS={folder}:".encode()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                yield int(entry.name)
        except OSError:  # gone, or another user's
            continue


def _cpu(pid: int) -> float:
    return proc.cpu_seconds(Path(f"/proc/{pid}/stat").read_text(), proc.TICKS)
