"""Which nodes a pod may go to, as affinity."""

from typing import Any

import pytest
from llmservice_operator.api import LLMService
from llmservice_operator.placement import demand, node_affinity


def _service(gpu: dict[str, Any] | None, **spec: Any) -> LLMService:
    fields = {"model": {"uri": "hf://a/b"}, **({} if gpu is None else {"gpu": gpu}), **spec}
    return LLMService.parse({"metadata": {"name": "x"}, "spec": fields})


def _expressions(gpu: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    affinity = node_affinity(_service(gpu).spec.gpu)
    if affinity is None:
        return []
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return [(e["key"], e["operator"], e["values"]) for e in term["matchExpressions"]]


def _not_shared(resource: str) -> tuple[str, str, list[str]]:
    return f"{resource}.sharing-strategy", "NotIn", ["mps", "time-slicing"]


_NOT_SHARED = _not_shared("nvidia.com/gpu")


@pytest.mark.parametrize(
    ("gpu", "expressions"),
    [
        ({}, []),
        ({"count": 8}, []),
        ({"products": ["A", "B"]}, [("nvidia.com/gpu.product", "In", ["A", "B"])]),
        ({"minMemory": "20Gi"}, [("nvidia.com/gpu.memory", "Gt", ["20479"]), _NOT_SHARED]),
        (
            {"products": ["A-SHARED"], "minMemory": "20Gi"},
            [
                ("nvidia.com/gpu.product", "In", ["A-SHARED"]),
                ("nvidia.com/gpu.memory", "Gt", ["20479"]),
            ],
        ),
        (
            {"resource": "nvidia.com/gpu.shared", "minMemory": "20Gi"},
            [("nvidia.com/gpu.memory", "Gt", ["20479"])],
        ),
        (
            {"resource": "nvidia.com/mig-3g.40gb", "minMemory": "30Gi"},
            [
                ("nvidia.com/mig-3g.40gb.memory", "Gt", ["30719"]),
                _not_shared("nvidia.com/mig-3g.40gb"),
            ],
        ),
        (
            {"resource": "nvidia.com/mig-1g.5gb.shared", "minMemory": "4Gi"},
            [("nvidia.com/mig-1g.5gb.memory", "Gt", ["4095"])],
        ),
        (
            {"resource": "amd.com/gpu", "products": ["AMD_Instinct_MI300X_OAM"]},
            [("amd.com/gpu.product-name", "In", ["AMD_Instinct_MI300X_OAM"])],
        ),
    ],
)
def test_products_and_memory_become_expressions(
    gpu: dict[str, Any], expressions: list[tuple[str, str, list[str]]]
) -> None:
    assert _expressions(gpu) == expressions


def test_without_a_gpu_any_node_will_do() -> None:
    assert node_affinity(None) is None


@pytest.mark.parametrize(
    ("resource", "keys"),
    [
        ("nvidia.com/gpu", ["nvidia.com/gpu"]),
        ("nvidia.com/mig-1g.10gb", ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb"]),
        ("amd.com/gpu", ["amd.com/gpu"]),
        ("amd.com/cpx_nps4", ["amd.com/cpx_nps4", "amd.com/gpu"]),
    ],
)
def test_the_taint_of_gpu_nodes_is_tolerated(resource: str, keys: list[str]) -> None:
    tolerations = demand(_service({"resource": resource})).tolerations
    assert [t["key"] for t in tolerations] == keys
    assert {(t["operator"], t["effect"]) for t in tolerations} == {("Exists", "NoSchedule")}


def test_gpus_are_requested_and_limited_alike() -> None:
    asked = demand(_service({"tensorParallel": 4}))
    assert asked.requests["nvidia.com/gpu"] == asked.limits["nvidia.com/gpu"] == "4"


def test_cpu_is_always_requested_because_autoscaling_measures_against_it() -> None:
    for gpu in (None, {}, {"count": 8}):
        assert demand(_service(gpu)).requests["cpu"]
    written = _service(None, pod={"resources": {"requests": {"memory": "4Gi"}}})
    assert demand(written).requests == {"cpu": "1", "memory": "4Gi"}


def test_a_limit_alone_is_the_request_too() -> None:
    asked = demand(_service(None, pod={"resources": {"limits": {"memory": "3Gi"}}}))
    assert (asked.requests["memory"], asked.limits["memory"]) == ("3Gi", "3Gi")
