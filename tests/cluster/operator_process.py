"""The operator as a process of its own, with the rights of the chart's account and no more."""

import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dev.process import Launch, free_port


@dataclass
class Operator:
    """name: who holds the Lease, as a pod's name would be. More flags, and more of an
    environment, may be given.
    """

    kubeconfig: Path
    lease_namespace: str
    log: Path
    name: str = "operator-0"
    flags: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    process: subprocess.Popen[bytes] | None = None

    def start(self, *, leads: bool = True) -> None:
        """Returns once it is ready, and (where it is to lead) leads."""
        self.launch()
        self.wait_ready(leads=leads)

    def launch(self) -> None:
        self.process = Launch(
            self.kubeconfig,
            self.lease_namespace,
            self.log,
            "llmservice/server:test",
            self.name,
            self.flags,
            self.port,
            self.environment,
        ).start()

    def wait_ready(self, *, leads: bool = True) -> None:
        self.wait(self.ready, "ready")
        if leads:
            self.wait(self.leads, "leading")

    def wait(self, done: Callable[[], bool], what: str, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if not self.runs() or time.monotonic() > deadline:
                raise AssertionError(f"the operator is not {what}:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ready(self) -> bool:
        return self._answer("/readyz") is not None

    def leads(self) -> bool:
        return self.metric('leader_election_master_status{name="llmservice-operator"}') == 1

    def metrics(self) -> str:
        return self._answer("/metrics") or ""

    def metric(self, sample: str) -> float:
        for line in self.metrics().splitlines():
            if line.startswith(f"{sample} "):
                return float(line.split()[-1])
        return 0.0

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Returns the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def _answer(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as found:
                return found.read().decode()
        except (urllib.error.URLError, OSError):
            return None
