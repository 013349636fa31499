"""The demo in a cluster of its own, whose LLMService most tests share.

Starting a model takes most of a minute, so the files run in an order in which one service serves
nearly all of them: what only looks comes first, what restarts it later, its deletion and that of
the cluster last.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from devcluster import Cluster
from xdist.scheduler import LoadScopeScheduling

from dev import stack
from tests.e2e.devcluster.traces import Host
from tests.e2e.provided import by_kind
from tests.e2e.service import START_SECONDS, Service

NAME = "e2e"
_ORDER = (
    *("demo", "vllm_names", "answer", "api", "fuzz", "quiet", "bad_input", "clients"),
    *("rollout", "healing", "scaling", "crash", "deletion", "down"),
)
collect_ignore = ["test_scaling.py"] if by_kind() else []  # kind brings no metrics-server

# A hook of this folder sees the items of all of them.
_HERE = Path(__file__).parent
_TEST_SECONDS = 2 * START_SECONDS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    names = [f"test_{name}" for name in _ORDER]
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(_TEST_SECONDS))

    def place(item: pytest.Item) -> int:
        ours = item.path.parent == _HERE and item.path.stem in names
        return names.index(item.path.stem) if ours else -1

    items.sort(key=place)


class _ByCluster(LoadScopeScheduling):
    """What shares a cluster runs in one process: this folder's tests, and those of another file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "service" if Path(file).parent.name == _HERE.name else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByCluster:
    return _ByCluster(config, log)


@pytest.fixture(scope="session")
def before() -> Host:
    """The machine before there was a cluster."""
    stack.down(NAME)  # what a run that was killed left
    return Host.now(Cluster(NAME).layout)


@pytest.fixture(scope="session")
def demo(request: pytest.FixtureRequest) -> Iterator[str]:
    """What `make demo` prints, under a name of its own.

    KEEP=1 leaves its cluster there, for a look at it and a quick second run.
    """
    stays = os.environ.get("KEEP") == "1"
    if not stays:
        request.getfixturevalue("before")
    try:
        yield _shown([sys.executable, "-m", "dev.demo", "up", NAME])
    finally:
        if not stays:
            stack.down(NAME)


@pytest.fixture(scope="session")
def applied(demo: str) -> Service:
    """The demo's LLMService."""
    del demo
    return Service(Cluster(NAME), NAME, "smollm2")


@pytest.fixture
def service(applied: Service) -> Service:
    """The same, settled: one pod, which answers, whatever the test before left behind."""
    applied.wait_settled()
    return applied


def _shown(command: list[str]) -> str:
    """Run it, with its output shown as it comes, and return that."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        lines: list[str] = []
        for line in running.stdout:
            sys.stdout.write(line)
            lines.append(line)
    assert running.returncode == 0, "".join(lines[-20:])
    return "".join(lines)
