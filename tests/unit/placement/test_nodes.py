"""What is kept of nodes and pods: few fields, and the scheduler's sums."""

from typing import Any

import pytest
from llmservice_operator.placement import Place, Taken, node, place, scheduled


def _container(cpu: str = "", memory: str = "", **more: Any) -> dict[str, Any]:
    requests = {"cpu": cpu, "memory": memory}
    asked = {name: amount for name, amount in requests.items() if amount}
    return {"name": "c", "resources": {"requests": asked}, **more}


def _takes(**spec: Any) -> dict[str, int]:
    spec = {"nodeName": "n", "containers": [], **spec}
    found = place({"metadata": {"name": "p"}, "spec": spec, "status": {"phase": "Running"}})
    assert found is not None
    return dict(found.takes)


_SIDECAR = {"restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("spec", "takes"),
    [
        ({"containers": [_container("1500m"), _container("0.5", "1Gi")]}, (2000, 2**30)),
        (
            {"containers": [_container("1")], "initContainers": [_container("3", "1Ki")]},
            (3000, 1024),
        ),
        (
            {"containers": [_container("1")], "initContainers": [_container("1", **_SIDECAR)]},
            (2000, 0),
        ),
        (
            {
                "containers": [_container("1")],
                "initContainers": [_container("2", **_SIDECAR), _container("3")],
            },
            (5000, 0),
        ),
        (
            {
                "containers": [_container("3")],
                "initContainers": [_container("3"), _container("2", **_SIDECAR)],
            },
            (5000, 0),
        ),
        ({"containers": [_container("1", "1Gi")], **_container("4", "2Gi")}, (4000, 2**31)),
        (
            {"containers": [_container("1")], "overhead": {"cpu": "250m", "memory": "1Ki"}},
            (1250, 1024),
        ),
        ({"containers": [_container("1n")]}, (1, 0)),
        ({"containers": [{"name": "c"}]}, (0, 0)),
    ],
)
def test_a_pod_takes_what_the_scheduler_counts(
    spec: dict[str, Any], takes: tuple[int, int]
) -> None:
    found = _takes(**spec)
    assert (found.get("cpu", 0), found.get("memory", 0)) == takes


def test_a_pod_without_a_node_or_at_its_end_takes_nothing() -> None:
    pod: dict[str, Any] = {"metadata": {"name": "p", "namespace": "ns"}, "spec": {"containers": []}}
    assert place(pod) is None
    pod["spec"]["nodeName"] = "n"
    assert place(pod) == Place("n", (), ending=False)
    assert place({**pod, "status": {"phase": "Succeeded"}}) is None
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert scheduled(pod) == ("ns/p", Place("n", (), ending=True))


def test_pods_of_one_template_share_what_they_take() -> None:
    pods = [{"metadata": {}, "spec": {"nodeName": "n", "containers": [_container("1")]}}] * 2
    first, second = (place(pod) for pod in pods)
    assert first
    assert second
    assert first.takes is second.takes


def test_what_is_taken_adds_up_and_goes_again() -> None:
    taken = Taken()
    one, two = Place("n", (("cpu", 2),), ending=False), Place("n", (("cpu", 3),), ending=True)
    assert taken.move(None, one)
    assert taken.move(None, two)
    assert (taken.of("n"), taken.ending("n")) == ({"pods": 2, "cpu": 5}, {"pods": 1, "cpu": 3})
    assert not taken.move(two, two)
    assert taken.move(one, Place("m", (("cpu", 2),), ending=False))
    assert (taken.of("n")["cpu"], taken.of("m")["cpu"]) == (3, 2)
    taken.move(two, None)
    assert (taken.of("n"), taken.ending("n")) == ({}, {})


def test_a_node_is_its_labels_taints_and_what_it_offers() -> None:
    found = node(
        {
            "metadata": {"name": "n", "labels": {"a": "b"}, "annotations": {"c": "d"}},
            "spec": {"taints": [{"key": "k", "effect": "NoExecute", "timeAdded": "now"}]},
            "status": {"allocatable": {"cpu": "3920m", "memory": "1Gi"}, "images": [{"names": []}]},
        }
    )
    assert found.labels == {"a": "b"}
    assert found.taints == ({"key": "k", "effect": "NoExecute"},)
    assert found.allocatable == {"cpu": 3920, "memory": 2**30}
