"""The operator as a process of its own, with the rights that its chart grants and no more."""

import asyncio
import pstats
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bench import proc
from bench.operator import samples
from bench.operator.figures import busy_until
from bench.operator.workload import IMAGE
from dev.process import Launch, free_port

SYSTEM = "llmservice-system"
_BIN = 0.1  # seconds between two looks at the CPU
_BUSY = 0.25  # of a core in such a time: less is a renewed lease, not work
_START, _STOP = 60.0, 20.0  # seconds at most


class OperatorError(Exception):
    """It ended, or did not start in time; with the end of its log."""


@dataclass
class Operator:
    """profile: where cProfile's figures go when it ends; it then costs more CPU."""

    kubeconfig: Path
    log: Path
    profile: Path | None = None
    flags: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    _process: "subprocess.Popen[bytes] | None" = None

    def spawn(self) -> None:
        profiled = ("-m", "cProfile", "-o", str(self.profile)) if self.profile else ()
        self._process = Launch(
            self.kubeconfig, SYSTEM, self.log, IMAGE, "bench", self.flags, self.port
        ).start(*profiled)

    async def leads(self) -> None:
        """Return once its lists are complete and it leads."""
        deadline = time.monotonic() + _START
        while not await self._leading():
            if time.monotonic() > deadline:
                raise OperatorError(f"it does not lead after {_START:.0f} s{self._tail()}")
            await asyncio.sleep(0.1)

    async def lives(self) -> None:
        """Raise once it ends without having been stopped."""
        while self._process is None or self.pid:  # noqa: ASYNC110 - a process that ends tells nobody
            await asyncio.sleep(1)

    async def idle(self, quiet: float, limit: float) -> float:
        """Return when it last used CPU, once it has used next to none for `quiet` seconds."""
        looks = [(time.monotonic(), self.cpu())]
        begun = looks[0][0]
        while True:
            await asyncio.sleep(_BIN)
            looks.append((time.monotonic(), self.cpu()))
            last = busy_until(looks, _BUSY)
            if looks[-1][0] - max(last, begun) > quiet:
                return last
            if looks[-1][0] - begun > limit:
                raise OperatorError(f"it is not idle after {limit:.0f} s{self._tail()}")

    def cpu(self) -> float:
        """Seconds so far."""
        return proc.cpu_seconds(self._proc("stat"), proc.TICKS)

    def memory(self) -> float:
        """MiB resident, at the peak."""
        return proc.mebibytes(self._proc("status"), "VmHWM")

    async def metrics(self) -> str:
        url = f"http://127.0.0.1:{self.port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.text()

    @property
    def pid(self) -> int:
        if self._process is None or self._process.poll() is not None:
            raise OperatorError(f"the operator ended{self._tail()}")
        return self._process.pid

    def stop(self) -> float:
        """The seconds it took to end."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return 0.0
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return time.monotonic() - begun

    async def _leading(self) -> bool:
        self._proc("stat")
        try:
            text = await self.metrics()
        except aiohttp.ClientError:
            return False
        return any(value for _, value in samples.samples(text, "leader_election_master_status"))

    def _proc(self, file: str) -> str:
        return Path(f"/proc/{self.pid}/{file}").read_text()

    def _tail(self) -> str:
        return f"; the end of {self.log}:\n{self.log.read_text()[-3000:]}"


def costly(profile: Path, out: Path) -> None:
    """What of the profile costs most, by the functions' own time and with what they call."""
    with out.open("w") as stream:
        found = pstats.Stats(str(profile), stream=stream)
        found.strip_dirs().sort_stats("tottime").print_stats(45)
        found.sort_stats("cumulative").print_stats(70)
