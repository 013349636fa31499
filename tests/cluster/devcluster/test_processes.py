import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from devcluster.processes import Component, Processes
from devcluster.waiting import ClusterError, wait_until

_SLEEP = Component("sleeper", ("sleep", "60"))


@pytest.fixture
def processes(tmp_path: Path) -> Generator[Processes]:
    made = Processes(tmp_path / "cluster", tmp_path / "logs")
    yield made
    made.stop_all()


def test_a_component_that_runs_is_not_started_again(processes: Processes) -> None:
    assert processes.ensure(_SLEEP)
    pid = processes.running(_SLEEP)
    assert not processes.ensure(_SLEEP)
    assert processes.running(_SLEEP) == pid


def test_a_component_with_other_arguments_is_replaced(processes: Processes) -> None:
    processes.ensure(_SLEEP)
    pid = processes.running(_SLEEP)
    assert processes.ensure(Component("sleeper", ("sleep", "61")))
    assert processes.running(_SLEEP) not in (pid, None)


def test_a_component_outlives_the_process_that_started_it(processes: Processes) -> None:
    start = """if True:
        import sys
        from pathlib import Path
        from devcluster.processes import Component, Processes
        processes = Processes(Path(sys.argv[1]), Path(sys.argv[2]))
        processes.ensure(Component("sleeper", ("sleep", "60")))
    """
    folders = [str(processes.folder), str(processes.logs)]
    subprocess.run([sys.executable, "-c", start, *folders], check=True)
    assert processes.running(_SLEEP)


def test_a_dead_component_is_told_with_the_end_of_its_log(processes: Processes) -> None:
    component = Component("talker", ("sh", "-c", "sleep 0.3; echo what went wrong; exit 1"))
    processes.ensure(component)
    wait_until("the end", lambda: processes.running(component) is None, 60)
    with pytest.raises(ClusterError, match=r"talker ended\n(.*\n)*what went wrong"):
        processes.require(component)


def test_ending_all_takes_children_and_spares_strangers(
    processes: Processes, tmp_path: Path
) -> None:
    stranger = Processes(tmp_path / "other", tmp_path / "logs")
    stranger.ensure(_SLEEP)
    family = Component("family", ("sh", "-c", "sleep 60 & echo $!; wait"))
    processes.ensure(family)
    child = _first_line(processes.log("family"))
    processes.stop_all()
    assert processes.running(family) is None
    assert not Path(f"/proc/{child}").exists() or _zombie(int(child))
    assert stranger.running(_SLEEP)
    stranger.stop_all()


def test_stopping_a_component_spares_its_children(processes: Processes) -> None:
    family = Component("family", ("sh", "-c", "sleep 60 & echo $!; wait"))
    processes.ensure(family)
    child = _first_line(processes.log("family"))
    processes.stop(family)
    os.kill(int(child), 0)


def _first_line(log: Path) -> str:
    wait_until("a line", lambda: "\n" in log.read_text(), 60)
    return log.read_text().split()[0]


def _zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()
