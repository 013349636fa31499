"""A cluster of its own with a real node, the operator, and one LLMService that most tests share.

Starting a model takes most of a minute, so the files run in an order in which one service serves
nearly all of them: what only looks comes first, what restarts it later, its deletion last.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import client, stack
from tests.e2e.service import START_SECONDS, Service

_NAME = "e2e"
_EXAMPLE = Path("examples/cpu.yaml")
_ORDER = ("answer", "quiet", "bad_input", "rollout", "healing", "deletion")


# A hook of this folder sees the items of all of them.
_HERE = Path(__file__).parent
_TEST_SECONDS = 2 * START_SECONDS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    names = [f"test_{name}" for name in _ORDER]
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(_TEST_SECONDS))

    def place(item: pytest.Item) -> int:
        return names.index(item.path.stem) if item.path.stem in names else -1

    items.sort(key=place)


@pytest.fixture(scope="session")
def running() -> Iterator[stack.Stack]:
    """KEEP=1 leaves the cluster there, for a look at it and a quick second run."""
    stays = os.environ.get("KEEP") == "1"
    if not stays:
        stack.down(_NAME)  # what a run that was killed left
    try:
        yield stack.up(_NAME, _NAME)
    finally:
        if not stays:
            stack.down(_NAME)


@pytest.fixture(scope="session")
def applied(running: stack.Stack) -> Service:
    """The demo's LLMService with a client pod beside it."""
    found = Service(running.cluster, _NAME, "smollm2")
    found.kubectl("apply", "-f", str(_EXAMPLE))
    client.start(running.cluster, _NAME, running.images.operator)
    return found


@pytest.fixture
def service(applied: Service) -> Service:
    """The same, settled: one pod, which answers, whatever the test before left behind."""
    applied.wait_settled(timeout=START_SECONDS)
    return applied
