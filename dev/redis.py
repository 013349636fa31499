"""A real Redis, Debian's, on loopback and without anything on disk: for tests and measurements.

Promises: it ends with the process that started it, on Linux also where that is killed. Whoever has
its password may connect to it.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time

from devcluster import debian

from dev.process import free_port

_SECONDS = 10


def ensure() -> None:
    """Install it as root; ClusterError says what to install where that cannot be done."""
    debian.ensure_program("redis-server", "redis-server")


class Redis:
    """Started by `start`, and again, empty, on the same port after a `kill`."""

    def __init__(self) -> None:
        ensure()
        self.port = free_port()
        self.password = secrets.token_hex(8)
        self.url = f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it answers."""
        died_with = ("setpriv", "--pdeathsig=KILL", "--") if sys.platform == "linux" else ()
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "requirepass": self.password,
            "save": "",
            "appendonly": "no",
            "dir": "/tmp",  # noqa: S108  nothing is written
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen(
            [*died_with, "redis-server", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            process_group=0,  # an interrupt of the terminal is this process' business
        )
        deadline = time.monotonic() + _SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Redis did not start")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return bool(connection.recv(64))
        except OSError:
            return False

    def kill(self) -> None:
        """At once, as a crash would; all that it held is lost."""
        if self._process:
            self._process.kill()
            self._process.wait(_SECONDS)

    def stall(self) -> None:
        """It answers nothing, and its connections stay."""
        if self._process:
            os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        if self._process:
            os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it for good."""
        self.kill()
