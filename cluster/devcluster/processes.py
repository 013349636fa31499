"""The processes of one cluster, found by a mark in their environment.

Every process is started with DEVCLUSTER_PROCESS=<folder>:<name>, which its children inherit. So
what runs is always read from the kernel: there is no file of process numbers to go stale, to be
lost, or not yet written when `up` is killed. Promises: nothing without this cluster's mark is ever
signalled, not even when a process number was used anew in between (a pidfd holds it).
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devcluster.waiting import ClusterError, wait_until

_MARK = "DEVCLUSTER_PROCESS"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TAIL_BYTES = 4000
_TAIL_LINES = 15
_STOP_SECONDS = 20.0
_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Component:
    """A process that should run. `enter` goes before argv and becomes it in other namespaces."""

    name: str
    argv: tuple[str, ...]
    enter: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Processes:
    """Starts, finds and stops the processes of the cluster in `folder`; logs go to `logs`."""

    folder: Path
    logs: Path

    def running(self, component: Component) -> int | None:
        """Its process number, or None.

        Children carry the mark too (containerd's shims outlive it): the program must agree as well.
        """
        for pid, name in self._marked():
            if name == component.name and _program(_cmdline(pid)) == _program(component.argv):
                return pid
        return None

    def ensure(self, component: Component) -> bool:
        """Start it unless it runs with exactly these arguments; True where it was started."""
        pid = self.running(component)
        if pid is not None:
            if _cmdline(pid) == list(component.argv):
                return False
            self.stop(component)
        self.logs.mkdir(parents=True, exist_ok=True)
        mark = {_MARK: f"{self.folder}:{component.name}"}
        with self.log(component.name).open("ab") as log:
            # its own session and no parent of ours: it outlives the command that started it
            subprocess.run(
                ["setsid", "--fork", *component.enter, *component.argv],
                env={"PATH": _PATH, "HOME": str(self.folder), **component.env, **mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
            )
        wait_until(
            f"starting {component.name}",
            lambda: self.running(component) is not None,
            5,
            lambda: self.tail(component.name),
        )
        return True

    def stop(self, component: Component) -> None:
        """End this component alone, its children not."""
        impatient = time.monotonic() + _PATIENCE_SECONDS

        def gone() -> bool:
            pid = self.running(component)
            if pid is not None:
                late = time.monotonic() > impatient
                self._signal(pid, signal.SIGKILL if late else signal.SIGTERM)
            return pid is None

        wait_until(f"ending {component.name}", gone, _STOP_SECONDS)

    def stop_all(self) -> None:
        """Kill everything that carries this cluster's mark; ClusterError if something stays."""

        def gone() -> bool:
            left = [pid for pid, _ in self._marked()]
            for pid in left:
                self._signal(pid, signal.SIGKILL)
            return not left

        wait_until(f"ending the processes of {self.folder.name}", gone, _STOP_SECONDS)

    def require(self, component: Component) -> int:
        """Its process number; ClusterError with the end of its log where it does not run."""
        if (pid := self.running(component)) is None:
            raise ClusterError(f"{component.name} ended{self.tail(component.name)}")
        return pid

    def any(self) -> bool:
        """Whether anything of the cluster runs."""
        return next(self._marked(), None) is not None

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def tail(self, name: str) -> str:
        """The last lines of the log of `name`, ready to stand below an error."""
        path = self.log(name)
        text = path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace") if path.exists() else ""
        lines = "\n".join(text.splitlines()[-_TAIL_LINES:]) or "(empty)"
        return f"\nThe end of {path}:\n{lines}"

    def _marked(self) -> Iterator[tuple[int, str]]:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (name := self._name(int(entry.name))) is not None:
                yield int(entry.name), name

    def _name(self, pid: int) -> str | None:
        prefix = f"{_MARK}={self.folder}:".encode()
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:  # gone, or another user's
            return None
        for variable in environment.split(b"\0"):
            if variable.startswith(prefix):
                return variable[len(prefix) :].decode()
        return None

    def _signal(self, pid: int, number: signal.Signals) -> None:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if self._name(pid) is not None:
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


def _program(argv: Sequence[str]) -> str:
    return Path(argv[0]).name if argv else ""


def _cmdline(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    except OSError:
        return []
