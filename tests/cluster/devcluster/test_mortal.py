import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from devcluster import mortal
from devcluster.waiting import ClusterError, wait_until

# as a compiler's driver: a program whose child does the work
_FAMILY = 'sleep 600 & echo $! $$ > "$0.new"; mv "$0.new" "$0"; wait'


def _ended(pid: str) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def _all_ended(family: Path) -> bool:
    return all(map(_ended, family.read_text().split()))


def test_nothing_outlives_a_process_that_is_killed(tmp_path: Path) -> None:
    family = tmp_path / "family"
    program = "import sys; from devcluster import mortal; mortal.run('it', sys.argv[1:], 600)"
    process = subprocess.Popen([sys.executable, "-c", program, "sh", "-c", _FAMILY, str(family)])
    try:
        wait_until("the family", family.exists, 60)
        assert not _all_ended(family)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    wait_until("their end", lambda: _all_ended(family), 60)


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    family = tmp_path / "family"
    with pytest.raises(subprocess.TimeoutExpired):
        mortal.run("it", ["sh", "-c", _FAMILY, family], 3)
    wait_until("their end", lambda: _all_ended(family), 60)


def test_a_failure_is_told_with_what_was_said_last() -> None:
    with pytest.raises(ClusterError, match=r"^it failed:\nwhat went wrong$"):
        mortal.run("it", ["sh", "-c", "echo what went wrong >&2; exit 3"], 10)
