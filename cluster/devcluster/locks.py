"""Locks between processes: they go with the process that holds them, however it ends."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from devcluster.waiting import wait_until

_LONGEST_SECONDS = 3600.0  # another process may be building everything for the first time


@contextmanager
def held(path: Path, what: str) -> Generator[None]:
    """Hold the lock file `path`; says that it waits for `what`, ClusterError after an hour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:

        def taken() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not taken():
            print(f"· waiting for another process: {what}", flush=True)
            wait_until(what, taken, _LONGEST_SECONDS)
        yield
