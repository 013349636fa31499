"""What the report says of a cluster's nodes, case by case."""

from typing import Any

import pytest
from llmservice_operator.api import LLMService
from llmservice_operator.placement import NodeFacts, report

_ROOM = {"cpu": "64", "memory": "512Gi"}
_GPU = "nvidia.com/gpu"


def _cards(product: str, mebibytes: int, count: int = 8, **fields: Any) -> NodeFacts:
    labels = {f"{_GPU}.product": product, f"{_GPU}.memory": str(mebibytes)}
    labels |= fields.pop("labels", {})
    return NodeFacts("n", labels=labels, allocatable={**_ROOM, _GPU: str(count)}, **fields)


_H100 = _cards("NVIDIA-H100-80GB-HBM3", 81559)
_A10 = _cards("NVIDIA-A10", 23028)
_L4 = _cards("NVIDIA-L4", 23034)
_SHARED = _cards("NVIDIA-A10-SHARED", 23028, labels={f"{_GPU}.sharing-strategy": "time-slicing"})
_CPU = NodeFacts("n", allocatable=_ROOM)
_SMALL = NodeFacts("n", allocatable={"cpu": "2", "memory": "7500Mi"})
_UNLABELLED = NodeFacts("n", allocatable={**_ROOM, _GPU: "1"})


@pytest.mark.parametrize(
    ("spec", "nodes", "fits", "message"),
    [
        ({}, [], 0, "there are no nodes"),
        ({}, [_CPU], 1, "1 of 1 node could hold a replica"),
        ({"gpu": {}}, [_CPU, _CPU], 0, "no node has nvidia.com/gpu"),
        (
            {"gpu": {"resource": "amd.com/gpu"}},
            [_H100],
            0,
            "no node has amd.com/gpu",
        ),
        ({"gpu": {}}, [_CPU, _H100], 1, "1 of 2 nodes could hold a replica: 1 node lacks {gpu}"),
        (
            {"gpu": {"minMemory": "40Gi"}},
            [_cards("X", 24576), _A10, _L4],
            0,
            (
                "no node could hold a replica: 3 nodes lack 40 GiB of GPU memory, the largest "
                "has 24 GiB"
            ),
        ),
        (
            {"gpu": {"minMemory": "22.5Gi"}},
            [_A10],
            0,
            "no node could hold a replica: 1 node lacks 22.5 GiB of GPU memory, it has 22.48 GiB",
        ),
        (
            {"gpu": {"minMemory": "20Gi"}},
            [_cards("X", 20479)],
            0,
            "no node could hold a replica: 1 node lacks 20 GiB of GPU memory, it has 19.99 GiB",
        ),
        (
            {"gpu": {"minMemory": "20481Mi"}},
            [_cards("X", 20480)],
            0,
            "no node could hold a replica: 1 node lacks 20.01 GiB of GPU memory, it has 20 GiB",
        ),
        ({"gpu": {"minMemory": "23028Mi"}}, [_A10], 1, "1 of 1 node could hold a replica"),
        (
            {"gpu": {"minMemory": "10Gi"}},
            [_UNLABELLED],
            0,
            "no node could hold a replica: 1 node has no label nvidia.com/gpu.memory",
        ),
        (
            {"gpu": {"minMemory": "10Gi"}},
            [_SHARED],
            0,
            "no node could hold a replica: 1 node has shared GPUs only, which promise no memory",
        ),
        ({"gpu": {}}, [_SHARED], 1, "1 of 1 node could hold a replica"),
        (
            {"gpu": {"products": ["NVIDIA-H100-80GB-HBM3"]}},
            [_H100, _A10, _A10, _L4],
            1,
            (
                "1 of 4 nodes could hold a replica: 2 nodes have NVIDIA-A10 as GPU; "
                "1 node has NVIDIA-L4 as GPU"
            ),
        ),
        (
            {"gpu": {"count": 16}},
            [_H100, _cards("X", 1, count=4)],
            0,
            "no node could hold a replica: 2 nodes lack 16 nvidia.com/gpu, the largest has 8",
        ),
        (
            {"pod": {"resources": {"requests": {"cpu": "8"}}}},
            [_SMALL, _CPU],
            1,
            "1 of 2 nodes could hold a replica: 1 node lacks 8 of cpu, it has 2",
        ),
        (
            {},
            [_SMALL],
            0,
            "no node could hold a replica: 1 node lacks 8Gi of memory, it has 7.32Gi",
        ),
        (
            {},
            [NodeFacts("n", allocatable={"cpu": "2", "memory": "8191Mi"})],
            0,
            "no node could hold a replica: 1 node lacks 8Gi of memory, it has 7.99Gi",
        ),
        (
            {"pod": {"nodeSelector": {"pool": "llm"}}},
            [_CPU, NodeFacts("n", labels={"pool": "llm"}, allocatable=_ROOM)],
            1,
            "1 of 2 nodes could hold a replica: 1 node lacks the label pool=llm",
        ),
        (
            {},
            [NodeFacts("n", allocatable=_ROOM, unschedulable=True)] * 2,
            0,
            "no node could hold a replica: 2 nodes are cordoned",
        ),
    ],
)
def test_says_what_fits_and_what_lacks(
    spec: dict[str, Any], nodes: list[NodeFacts], fits: int, message: str
) -> None:
    service = LLMService.parse(
        {"metadata": {"name": "x"}, "spec": {"model": {"uri": "hf://a/b"}, **spec}}
    )
    said = report(service, nodes)
    assert (said.fits, said.message) == (fits, message.format(gpu=_GPU))


def test_stays_a_sentence_where_every_node_is_different() -> None:
    service = LLMService.parse(
        {
            "metadata": {"name": "x"},
            "spec": {"model": {"uri": "hf://a/b"}, "gpu": {"products": ["A"]}},
        }
    )
    said = report(service, [_cards(f"CARD-{number:03}", 1) for number in range(200)]).message
    assert said.count(" as GPU") == 5
    assert said.endswith("; 195 nodes for other reasons")


@pytest.mark.parametrize(
    ("taint", "toleration", "fits"),
    [
        ({"key": "a", "value": "b", "effect": "NoSchedule"}, None, 0),
        ({"key": "a", "effect": "PreferNoSchedule"}, None, 1),
        ({"key": "a", "value": "b", "effect": "NoSchedule"}, {"key": "a", "value": "b"}, 1),
        ({"key": "a", "value": "b", "effect": "NoSchedule"}, {"key": "a", "value": "c"}, 0),
        ({"key": "a", "value": "b", "effect": "NoExecute"}, {"operator": "Exists"}, 1),
        (
            {"key": "a", "effect": "NoExecute"},
            {"key": "a", "operator": "Exists", "effect": "NoSchedule"},
            0,
        ),
        ({"key": _GPU, "value": "present", "effect": "NoSchedule"}, None, 1),
    ],
)
def test_tolerates_as_the_scheduler_does(
    taint: dict[str, str], toleration: dict[str, str] | None, fits: int
) -> None:
    spec: dict[str, Any] = {"model": {"uri": "hf://a/b"}, "gpu": {}}
    if toleration:
        spec["pod"] = {"tolerations": [toleration]}
    service = LLMService.parse({"metadata": {"name": "x"}, "spec": spec})
    assert report(service, [_cards("X", 1, taints=[taint])]).fits == fits
