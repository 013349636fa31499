"""A real PostgreSQL, Debian's, on loopback and with data of its own: for tests and measurements.

Promises: it runs as an unprivileged user; it ends, and its folder goes, with the process that
started it, on Linux also where that is killed. Anybody on this machine may connect to it.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from devcluster import debian

from dev.process import free_port

_PROGRAMS = Path("/usr/lib/postgresql")
_WANTED = "15"  # Debian's; where there is another, that one
_USER, _GROUP = "nobody", "nogroup"
_SECONDS = 60
# Ends what it has started when it is told to, as the kernel does when this process ends. A server
# that was killed for a test leaves its data.
_GUARD = 'trap \'kill -QUIT $p; wait $p; rm -rf "$0"; exit\' TERM; "$@" & p=$!; wait $p'
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "fsync": "off",  # the machine is not expected to lose power; a killed server loses nothing
}


def ensure() -> Path:
    """The folder of its programs, installed as root where there is none.

    ClusterError says what to install where that cannot be done.
    """
    if not (found := _found()):
        debian.ensure_program("pg_createcluster", "postgresql")
        found = _found()
    return found[-1]


def _found() -> list[Path]:
    folders = [program.parent for program in _PROGRAMS.glob("*/bin/postgres")]
    return sorted(folders, key=lambda folder: (folder.parent.name == _WANTED, folder))


class Postgres:
    """Started by the first `start`, and again with the same data and port after a `kill`."""

    def __init__(self) -> None:
        self._bin = ensure()
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="llmservice-postgres-"))
        self._guard: subprocess.Popen[bytes] | None = None
        try:
            if os.geteuid() == 0:
                shutil.chown(self.folder, _USER, _GROUP)
            with self._log.open("wb"):
                pass
            setup = ("--username=llmservice", "--auth=trust", "--encoding=UTF8", "--locale=C")
            subprocess.run(
                [*_unprivileged(), self._bin / "initdb", *setup, "--no-sync", "-D", self._data],
                cwd="/",
                check=True,
                stdout=subprocess.DEVNULL,
            )
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://llmservice@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Return once it answers."""
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        command = [self._bin / "postgres", "-D", self._data, f"--port={self.port}", *settings]
        died_with = ("setpriv", "--pdeathsig=TERM", "--") if sys.platform == "linux" else ()
        with self._log.open("ab") as log:
            self._guard = subprocess.Popen(
                [*died_with, "sh", "-c", _GUARD, self.folder, *_unprivileged(), *command],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # an interrupt of the terminal is this process' business
            )
        deadline = time.monotonic() + _SECONDS
        asking = (self._bin / "pg_isready", "-q", "-d", self.dsn())
        while subprocess.run(asking, check=False).returncode:
            if self._guard.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def make(self, database: str, like: str = "template1") -> str:
        """A new database with what another one has, which nobody uses just now; its address."""
        psql = (self._bin / "psql", "-q", "-d", self.dsn(), "-c")
        subprocess.run([*psql, f'CREATE DATABASE "{database}" TEMPLATE "{like}"'], check=True)
        return self.dsn(database)

    def execute(self, database: str, files: Sequence[Path]) -> None:
        """What is in these files, one after the other."""
        psql = (self._bin / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.dsn(database))
        words = [word for file in files for word in ("-f", str(file))]
        quiet = {**os.environ, "PGOPTIONS": "--client-min-messages=warning"}
        subprocess.run([*psql, *words], env=quiet, check=True, stdout=subprocess.DEVNULL)

    def transactions(self, database: str) -> int:
        """How many there were in it; a connection tells of its own within ten seconds."""
        sums = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname"
        words = ("-qtA", "-d", self.dsn(), "-c", f"{sums} = '{database}'")
        return int(
            subprocess.run([self._bin / "psql", *words], check=True, stdout=subprocess.PIPE).stdout
        )

    def kill(self) -> None:
        """At once, as a crash would, with all of its connections; its data stays."""
        os.kill(int((self._data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        if self._guard:
            self._guard.wait(_SECONDS)
        (self._data / "postmaster.pid").unlink()

    def close(self) -> None:
        """End it for good."""
        if self._guard and self._guard.poll() is None:
            self._guard.terminate()
            self._guard.wait(_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)


def _unprivileged() -> tuple[str, ...]:
    """Which PostgreSQL insists on."""
    if os.geteuid() != 0:
        return ()
    return ("setpriv", f"--reuid={_USER}", f"--regid={_GROUP}", "--clear-groups", "--")
