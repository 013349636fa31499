"""What the bench creates, and when it takes it for ready."""

from typing import Any

import pytest

from bench.operator import workload
from bench.operator.view import Sight, sight


def test_the_floor_has_the_very_children_that_a_resource_gets() -> None:
    kinds = [[ref.kind for ref in workload.refs(_children(number))] for number in (1, 10)]
    plain = ["ServiceAccount", "ConfigMap", "Service", "Deployment", "PodDisruptionBudget"]
    assert kinds == [plain, [*plain, "HorizontalPodAutoscaler"]]


def test_children_of_the_floor_have_no_owner_that_is_not_there() -> None:
    assert all("ownerReferences" not in child["metadata"] for child in _children(1))


@pytest.mark.parametrize("resources", [1, 1000, 5000])
def test_all_pods_may_be_replaced_at_once(resources: int) -> None:
    gpus = [int(n["status"]["allocatable"]["nvidia.com/gpu"]) for n in workload.nodes(resources)]
    assert sum(gpus) >= 2 * resources


def test_nobody_plays_a_foreign_node() -> None:
    assert "annotations" not in workload.foreign_node(1)["metadata"]


def test_a_deployment_is_ready_with_its_pods_and_settled_once_they_are_available() -> None:
    status = {"observedGeneration": 2, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1}
    assert sight(_deployment(status), "Deployment") == Sight("u", "i", ready=True)
    status |= {"availableReplicas": 1}
    settled = Sight("u", "i", ready=True, settled=True)
    assert sight(_deployment(status), "Deployment") == settled


@pytest.mark.parametrize(
    "differs", [{"observedGeneration": 1}, {"replicas": 2}, {"updatedReplicas": 0}]
)
def test_a_deployment_on_its_way_is_not_settled(differs: dict[str, int]) -> None:
    status = {"observedGeneration": 2, "replicas": 1, "readyReplicas": 1}
    status |= {"updatedReplicas": 1, "availableReplicas": 1} | differs
    assert not sight(_deployment(status), "Deployment").settled


def test_a_resource_is_judged_by_conditions_of_its_newest_generation() -> None:
    assert sight(_service(), "LLMService") == Sight("u")
    assert sight(_service(Ready="True"), "LLMService") == Sight("u", ready=True)
    settled = _service(Ready="True", Progressing="False")
    assert sight(settled, "LLMService") == Sight("u", ready=True, settled=True)
    settled["metadata"]["generation"] = 2
    assert sight(settled, "LLMService") == Sight("u")


def _children(number: int) -> list[dict[str, Any]]:
    return workload.children(workload.resource(number))


def _deployment(status: dict[str, int]) -> dict[str, Any]:
    pod = {"containers": [{"image": "i"}]}
    return {
        "metadata": {"uid": "u", "generation": 2},
        "spec": {"replicas": 1, "template": {"spec": pod}},
        "status": status,
    }


def _service(**conditions: str) -> dict[str, Any]:
    found = [
        {"type": kind, "status": status, "observedGeneration": 1}
        for kind, status in conditions.items()
    ]
    return {"metadata": {"uid": "u", "generation": 1}, "status": {"conditions": found}}
