"""Failures that are the machine's or the user's to mend: they are told, without a traceback."""

import shlex
import subprocess
from collections.abc import Generator
from contextlib import contextmanager

from devcluster.waiting import ClusterError

EXPECTED = (ClusterError, subprocess.SubprocessError)


def text(error: BaseException) -> str:
    """What happened; of a command that failed also what it said."""
    if not isinstance(error, subprocess.CalledProcessError):
        return str(error)
    command = error.cmd if isinstance(error.cmd, str) else shlex.join(map(str, error.cmd))
    said = error.stderr or error.output or ""
    said = said.decode(errors="replace") if isinstance(said, bytes) else said
    return f"{command} failed with exit status {error.returncode}:\n{said.strip()}"


@contextmanager
def told(program: str) -> Generator[None]:
    """An expected failure of the block ends the program: a message, and exit status 1."""
    try:
        yield
    except EXPECTED as error:
        raise SystemExit(f"{program}: {text(error)}") from None
