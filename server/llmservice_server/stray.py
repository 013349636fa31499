"""What is written to standard error past every logger becomes lines of the log, too.

That is native code, and what libraries say before anybody has told them how. This module, run as a
program in a process of its own, reads it and writes one JSON object a line to standard output.
Promises: no such line is lost, also the last ones of a process that crashes or stands still.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress

_LONGEST = 8192  # bytes of a line
_LAST = 0.2  # seconds for what is said last; what was started may live on and say more


@contextmanager
def told() -> Generator[None]:
    """For the time of the block, of this process and of those that it starts meanwhile."""
    teller = subprocess.Popen([sys.executable, "-IS", __file__], stdin=subprocess.PIPE)
    own = os.dup(2)
    if teller.stdin:
        os.dup2(teller.stdin.fileno(), 2)
        teller.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(own, 2)
        os.close(own)
        with suppress(subprocess.TimeoutExpired):
            teller.wait(_LAST)


def _tell() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends with those to whom it listens
    while line := sys.stdin.buffer.readline(_LONGEST):
        # A bar that shows progress writes over itself.
        message = line.decode(errors="replace").rstrip().rpartition("\r")[2]
        if message:
            sys.stdout.write(_line(message) + "\n")
            sys.stdout.flush()


def _line(message: str) -> str:
    """As `logs` has it, of which this knows nothing, to be there at once."""
    now = time.time()
    second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    when = f"{second}.{int(now % 1 * 1000):03}Z"
    line = {"time": when, "level": "warning", "logger": "stderr", "message": message}
    return json.dumps(line, separators=(",", ":"))


if __name__ == "__main__":
    _tell()
