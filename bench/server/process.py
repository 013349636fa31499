"""A server under measurement: a process of its own on loopback, its CPU and its memory.

Promises: it is ended by its own id, with all processes that it started, also after an error; every
wait has an end; where it fails, the end of its log is told.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench import proc
from bench.server import request
from dev.process import free_port

_STOP = 30.0  # seconds, for a server that finishes what it has
_LOOK = 0.02  # seconds from one question whether it serves to the next


class ServerError(Exception):
    """It ended, or did not answer in time; with the end of its log."""


@dataclass(frozen=True)
class Command:
    """name: as the table calls it. ready: a path that answers 200 once it serves. core: the only
    one that it may run on. key: one that it lets in. apart: what is in the command lines of those
    of its processes whose CPU is not counted.
    """

    name: str
    words: Sequence[str]
    port: int = field(default_factory=free_port)
    ready: str = "/v1/models"
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    core: int | None = None
    patience: float = 60.0  # seconds until it serves
    key: str = request.KEY
    apart: str | None = None


@dataclass(frozen=True)
class Server:
    command: Command
    log: Path
    process: "subprocess.Popen[bytes]"

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def port(self) -> int:
        return self.command.port

    def cpu(self) -> float:
        """Seconds so far, of all of its processes that count."""
        return sum(_cpu(pid) for pid in self._pids() if not self._apart(pid))

    def resident(self) -> float:
        """MiB, of all of its processes."""
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in self._pids()]
        return sum(proc.mebibytes(status, "VmRSS") for status in statuses)

    def used(self) -> dict[int, float]:
        """Seconds of CPU so far, of each of its processes."""
        return {pid: _cpu(pid) for pid in self._pids()}

    def spread(self, before: Mapping[int, float]) -> None:
        """Of its processes the one that was busiest since then has a core for itself, as a GPU
        would be, from now on; the others share one. What a process used to start says nothing.
        """
        used = self.used()
        busiest = max(used, key=lambda pid: used[pid] - before.get(pid, 0.0))
        for pid in used:
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {int(pid == busiest)})

    @contextmanager
    def paused(self) -> Generator[None]:
        """Stopped for the time of the block, with all of its processes: one that waits for work may
        spin, and would take from others what they are measured by.
        """
        pids = self._pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def tail(self) -> str:
        return f"; the end of its log:\n{self.log.read_text(errors='replace')[-3000:]}"

    def _apart(self, pid: int) -> bool:
        apart = self.command.apart
        words = Path(f"/proc/{pid}/cmdline")
        return apart is not None and apart in words.read_text(errors="replace")

    def _pids(self) -> list[int]:
        if self.process.poll() is not None:
            raise ServerError(f"{self.name} ended{self.tail()}")
        return proc.family(self.process.pid)


def _cpu(pid: int) -> float:
    return proc.cpu_seconds(Path(f"/proc/{pid}/stat").read_text(), proc.TICKS)


@asynccontextmanager
async def running(command: Command, folder: Path) -> AsyncGenerator[Server]:
    """The server, once it serves, for the time of the block. Its log goes into the folder."""
    log = folder / f"{command.name.replace(' ', '-')}.log"
    process = _started(command, log)
    server = Server(command, log, process)
    try:
        if command.core is not None:
            os.sched_setaffinity(process.pid, {command.core})
        await _serves(server)
        yield server
    finally:
        await asyncio.to_thread(_end, process)


async def start(command: Command, folder: Path) -> float:
    """Seconds from its exec until it serves; it is ended then."""
    began = time.monotonic()
    async with running(command, folder):
        return time.monotonic() - began


def _started(command: Command, log: Path) -> "subprocess.Popen[bytes]":
    """What it says of each request is written, as in production, and kept nowhere."""
    with log.open("wb") as errors:
        return subprocess.Popen(
            command.words,
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )


async def _serves(server: Server) -> None:
    deadline = time.monotonic() + server.command.patience
    while not await _answers(server):
        if server.process.poll() is not None:
            raise ServerError(f"{server.name} ended{server.tail()}")
        if time.monotonic() > deadline:
            seconds = server.command.patience
            raise ServerError(f"{server.name} does not serve after {seconds:.0f} s{server.tail()}")
        await asyncio.sleep(_LOOK)


async def _answers(server: Server) -> bool:
    asked = f"GET {server.command.ready} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(asked.encode())
            line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return line.startswith(b"HTTP/1.1 200")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Politely, and then its whole session."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
