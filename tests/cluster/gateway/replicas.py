"""Servers of one configuration, each a process of its own, before one engine.

Promises: what they log stays in files of the folder; they end with the process that started them,
on Linux also where that is killed.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2

from dev.process import free_port

_SECONDS = 120  # a busy machine starts three at a time
_MORTAL = ("setpriv", "--pdeathsig=KILL", "--") if sys.platform == "linux" else ()


@contextmanager
def engine() -> Iterator[str]:
    """Its address."""
    program = (sys.executable, "-m", "tests.cluster.gateway.engine")
    with subprocess.Popen([*_MORTAL, *program], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


class Replicas:
    """Not one runs until it is started. environment: with the secrets, which no file holds.
    program: what is run, by its module.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        environment: Mapping[str, str],
        number: int,
        program: str = "llmservice_server",
    ) -> None:
        self._program = program
        self.logs = [folder / f"replica-{n}.log" for n in range(number)]
        self._file = folder / "config.yaml"
        self._file.write_text(json.dumps(config))
        self._environment = {**os.environ, **environment}
        self._ports = [free_port() for _ in range(number)]
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self._ports]

    def pid(self, number: int) -> int:
        return self._running[number].pid

    def begin(self, number: int) -> None:
        """Start it; it does not answer yet."""
        with self.logs[number].open("ab") as log:
            self._running[number] = subprocess.Popen(
                self._command("serve"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment | {"LLMSERVICE_PORT": str(self._ports[number])},
            )

    def wait(self, number: int) -> None:
        """Until it is ready."""
        deadline = time.monotonic() + _SECONDS
        while not _ready(self.urls[number]):
            ended = self._running[number].poll()
            said = self.logs[number].read_text()[-2000:]
            assert ended is None, f"replica {number} ended with {ended}:\n{said}"
            assert time.monotonic() < deadline, f"replica {number} is not ready:\n{said}"
            time.sleep(0.05)

    def start(self) -> None:
        for number in range(len(self.logs)):
            self.begin(number)
        for number in range(len(self.logs)):
            self.wait(number)

    def kill(self, number: int) -> None:
        """As a crash would."""
        self._running[number].kill()
        self._running[number].wait(_SECONDS)

    def stop(self) -> None:
        """As they are told to."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            process.wait(_SECONDS)

    def close(self) -> None:
        for number in self._running:
            self.kill(number)

    def admin(self, *words: str) -> Any:
        """What the command says."""
        run = subprocess.run(
            self._command("admin", "--json", *words),
            env=self._environment,
            stdout=subprocess.PIPE,
            check=True,
            timeout=_SECONDS,
        )
        return json.loads(run.stdout)

    def _command(self, what: str, *words: str) -> list[str]:
        program = (sys.executable, "-m", self._program, what)
        return [*_MORTAL, *program, "--config", str(self._file), *words]


def _ready(url: str) -> bool:
    with suppress(httpx2.TransportError):
        return httpx2.get(f"{url}/readyz", timeout=10).is_success
    return False
