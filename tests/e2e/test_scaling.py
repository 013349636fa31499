"""Replicas follow the load: the cluster's own autoscaler decides, by what the pods really use."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest
from devcluster import tools

from tests.e2e.service import START_SECONDS, Service, wait_for

_MOST = 3
# The default waits for minutes before it ends a replica.
_AT_ONCE = {
    "stabilizationWindowSeconds": 0,
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}
_SIZE = re.compile(r"New size: (\d+)")


@pytest.fixture(autouse=True)
def as_it_was_afterwards(service: Service) -> Iterator[None]:
    yield
    service.patch({"autoscaling": None})
    service.wait_settled()


def test_replicas_follow_the_load_up_and_down_without_a_failed_request(
    service: Service, tmp_path: Path
) -> None:
    scaling = {"min": 1, "max": _MOST, "behavior": {"scaleDown": _AT_ONCE}}
    with _numbers(service, tmp_path / "numbers") as numbers, service.load("models") as always:
        service.patch({"autoscaling": scaling})
        with service.load("fresh") as busy:
            _wait_answering(service, _MOST)
            while_up = busy.stop()
        assert service.wait("Degraded", "AsExpected") == "Nothing is wrong."
        _wait_answering(service, 1)
        throughout = always.stop()

    assert while_up["failures"] == throughout["failures"] == []
    assert while_up["fresh"] >= 10, while_up
    assert throughout["models"] >= 100, throughout
    assert (max(numbers()), numbers()[-1]) == (_MOST, 1)
    # nobody but the autoscaler changed the number; what it tells of it comes a moment later
    wait_for(
        "its words on each number",
        lambda: numbers() == [1, *_decided(service)],
        lambda: (numbers(), _decided(service)),
    )


def _wait_answering(service: Service, pods: int) -> None:
    """That many pods answer, and there are no others."""

    def found() -> bool:
        ready = service.get()["status"].get("readyReplicas", 0)
        return ready == pods == len(service.items("pods"))

    def explain() -> str:
        return service.kubectl("describe", "hpa", service.name)

    wait_for(f"{pods} answering", found, explain, START_SECONDS)


@contextmanager
def _numbers(service: Service, file: Path) -> Iterator[Callable[[], list[int]]]:
    """Each number of replicas that the Deployment had since, in order: a watch misses none."""
    watch = ["--watch", "--output", r"jsonpath={.spec.replicas}{'\n'}"]
    command = [tools.path("kubectl"), "-n", service.namespace, "get", "deployment", service.name]
    with file.open("w") as out:
        running = subprocess.Popen(
            [*command, *watch], env={**os.environ, **service.cluster.env()}, stdout=out
        )

    def seen() -> list[int]:
        return [number for number, _ in groupby(map(int, file.read_text().split()))]

    try:
        wait_for("the number now", seen)
        yield seen
    finally:
        running.kill()
        running.wait()


def _decided(service: Service) -> list[int]:
    """What the autoscaler said that it sets, in order."""
    (scaler,) = service.items("horizontalpodautoscalers")
    selector = f"involvedObject.uid={scaler['metadata']['uid']},reason=SuccessfulRescale"
    listed = service.kubectl("get", "events", "--field-selector", selector, "-o", "json")
    told = sorted(json.loads(listed)["items"], key=lambda event: event["lastTimestamp"])
    return [int(found[1]) for event in told if (found := _SIZE.search(event["message"]))]
