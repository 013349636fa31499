"""Long programs, such as compilers, that do not outlive this process.

Promises: the program and all that it started end with this process, on Linux also where that is
killed; without root.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from devcluster.waiting import ClusterError

_LAST_LINES = 30
# the kernel tells the shell of its parent's end, and the shell ends its process group
_GROUP = ("sh", "-c", 'trap "kill -KILL 0" TERM; "$@" & wait $!', "sh")
_GUARD = ("setpriv", "--pdeathsig=TERM", "--", *_GROUP) if sys.platform == "linux" else _GROUP


def run(
    what: str,
    command: Sequence[str | Path],
    seconds: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Return once `command` ended well; ClusterError with its last lines where it did not.

    TimeoutExpired where it takes longer than `seconds`.
    """
    with subprocess.Popen(
        [*_GUARD, *command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as process:
        try:
            said = process.communicate(timeout=seconds)[0]
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        last = "\n".join(said.splitlines()[-_LAST_LINES:])
        raise ClusterError(f"{what} failed:\n{last}")
