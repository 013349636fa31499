"""What the report says of a cluster's nodes, case by case."""

from typing import Any

import pytest
from llmservice_operator.api import LLMService
from llmservice_operator.placement import (
    NodeFacts,
    Place,
    PlacementReport,
    Taken,
    demand,
    node,
    report,
)

_ROOM = {"cpu": "64", "memory": "512Gi", "pods": "110"}
_GPU = "nvidia.com/gpu"


def _node(allocatable: dict[str, str], name: str = "n", **fields: Any) -> NodeFacts:
    labels = fields.pop("labels", {})
    metadata, status = {"name": name, "labels": labels}, {"allocatable": allocatable}
    return node({"metadata": metadata, "spec": fields, "status": status})


def _cards(product: str, mebibytes: int, count: int = 8, **fields: Any) -> NodeFacts:
    labels = {f"{_GPU}.product": product, f"{_GPU}.memory": str(mebibytes)}
    labels |= fields.pop("labels", {})
    return _node({**_ROOM, _GPU: str(count)}, labels=labels, **fields)


def _report(
    spec: dict[str, Any], nodes: list[NodeFacts], taken: Taken | None = None
) -> PlacementReport:
    service = LLMService.parse(
        {"metadata": {"name": "x"}, "spec": {"model": {"uri": "hf://a/b"}, **spec}}
    )
    return report(demand(service), service.spec.gpu, nodes, taken)


_H100 = _cards("NVIDIA-H100-80GB-HBM3", 81559)
_A10 = _cards("NVIDIA-A10", 23028)
_L4 = _cards("NVIDIA-L4", 23034)
_SHARED = _cards("NVIDIA-A10-SHARED", 23028, labels={f"{_GPU}.sharing-strategy": "time-slicing"})
_CPU = _node(_ROOM)
_SMALL = _node({"cpu": "2", "memory": "7500Mi", "pods": "110"})
_UNLABELLED = _node({**_ROOM, _GPU: "1"})


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
            [_node({**_ROOM, _GPU: "1"}, labels={f"{_GPU}.memory": "24GB"})],
            0,
            "no node could hold a replica: 1 node has nvidia.com/gpu.memory=24GB, not a number",
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
            [_node({"cpu": "2", "memory": "8191Mi", "pods": "9"})],
            0,
            "no node could hold a replica: 1 node lacks 8Gi of memory, it has 7.99Gi",
        ),
        (
            {"pod": {"nodeSelector": {"pool": "llm"}}},
            [_CPU, _node(_ROOM, labels={"pool": "llm"})],
            1,
            "1 of 2 nodes could hold a replica: 1 node lacks the label pool=llm",
        ),
        (
            {},
            [_node(_ROOM, unschedulable=True)] * 2,
            0,
            "no node could hold a replica: 2 nodes are cordoned",
        ),
    ],
)
def test_says_what_fits_and_what_lacks(
    spec: dict[str, Any], nodes: list[NodeFacts], fits: int, message: str
) -> None:
    said = _report(spec, nodes)
    assert (said.fits, said.message) == (fits, message.format(gpu=_GPU))


def test_stays_a_sentence_where_every_node_is_different() -> None:
    nodes = [_cards(f"CARD-{number:03}", 1) for number in range(200)]
    said = _report({"gpu": {"products": ["A"]}}, nodes).message
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
    pod = {"pod": {"tolerations": [toleration]}} if toleration else {}
    assert _report({"gpu": {}, **pod}, [_cards("X", 1, taints=[taint])]).fits == fits


_SLICES = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/mig-3g.40gb": "2"}
_MIG = "nvidia.com/mig-3g.40gb"


def _mixed(**labels: str) -> NodeFacts:
    """Slices beside labels of the whole card, as the MIG strategy mixed has them."""
    whole = {f"{_GPU}.memory": "81559", f"{_GPU}.sharing-strategy": "none"}
    mine = {f"{_MIG}.{name}": value for name, value in labels.items()}
    return _node(_SLICES, labels=whole | mine)


@pytest.mark.parametrize(
    ("gpu", "found", "message"),
    [
        ({"resource": _MIG, "minMemory": "39Gi"}, _mixed(memory="40192"), None),
        (
            {"resource": _MIG, "minMemory": "40Gi"},
            _mixed(memory="40192"),
            "1 node lacks 40 GiB of GPU memory, it has 39.25 GiB",
        ),
        (
            {"resource": _MIG, "minMemory": "20Gi"},
            _mixed(**{"memory": "40192", "sharing-strategy": "time-slicing"}),
            "1 node has shared GPUs only, which promise no memory",
        ),
        ({"resource": _MIG}, _H100, f"no node has {_MIG}"),
        (
            {"products": ["NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"], "minMemory": "4Gi", "count": 7},
            _cards("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", 4864, 56),
            None,
        ),
        (
            {"resource": f"{_GPU}.shared", "minMemory": "20Gi"},
            _node(
                {**_ROOM, f"{_GPU}.shared": "32"},
                labels={f"{_GPU}.memory": "23028", f"{_GPU}.sharing-strategy": "time-slicing"},
            ),
            None,
        ),
        (
            {"products": ["NVIDIA-A10"]},
            _SHARED,
            "1 node has NVIDIA-A10-SHARED as GPU",
        ),
        ({"products": ["NVIDIA-A10-SHARED"], "minMemory": "20Gi", "count": 8}, _SHARED, None),
        (
            {"resource": "amd.com/gpu", "products": ["AMD_Instinct_MI300X_OAM"]},
            _node(
                {**_ROOM, "amd.com/gpu": "8"},
                labels={"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"},
            ),
            None,
        ),
        (
            {"resource": "amd.com/gpu", "products": ["AMD_Instinct_MI300X_OAM"]},
            _node({**_ROOM, "amd.com/gpu": "8"}),
            "1 node has no label amd.com/gpu.product-name",
        ),
    ],
)
def test_reads_the_labels_of_slices_shared_cards_and_other_makers(
    gpu: dict[str, Any], found: NodeFacts, message: str | None
) -> None:
    said = _report({"gpu": gpu}, [found])
    assert said.fits == (message is None)
    assert said.message.endswith(message or "1 of 1 node could hold a replica")


def _taken(*places: Place) -> Taken:
    taken = Taken()
    for place in places:
        taken.move(None, place)
    return taken


def _on(node: str, gpus: int, *, ending: bool = False, **more: int) -> Place:
    return Place(node, ((_GPU, gpus), *more.items()), ending)


_A, _B = _cards("X", 81559, name="a"), _cards("X", 81559, name="b")


@pytest.mark.parametrize(
    ("spec", "taken", "room", "message"),
    [
        ({"gpu": {}}, [], 16, "2 of 3 nodes could hold a replica, 16 more fit now"),
        ({"gpu": {"count": 3}}, [], 4, "2 of 3 nodes could hold a replica, 4 more fit now"),
        (
            {"gpu": {"count": 8}},
            [_on("a", 1)],
            1,
            (
                "2 of 3 nodes could hold a replica, 1 more fits now: "
                "1 node has less than 8 {gpu} free, it has 7"
            ),
        ),
        (
            {"gpu": {"count": 4}},
            [_on("a", 5), _on("b", 3), _on("b", 3)],
            0,
            (
                "2 of 3 nodes could hold a replica, none has room now: "
                "2 nodes have less than 4 {gpu} free, the largest has 3"
            ),
        ),
        (
            {"gpu": {"count": 8}},
            [_on("a", 8, ending=True), _on("b", 1)],
            0,
            (
                "2 of 3 nodes could hold a replica, none has room now, "
                "1 fits once pods that are ending are gone: "
                "2 nodes have less than 8 {gpu} free, the largest has 7"
            ),
        ),
        (
            {"gpu": {}},
            [_on("a", 0, cpu=63_000), _on("b", 0, memory=511 * 2**30)],
            0,
            (
                "2 of 3 nodes could hold a replica, none has room now: "
                "1 node has less than 10Gi of memory free, it has 1Gi; "
                "1 node has less than 2 of cpu free, it has 1"
            ),
        ),
        (
            {"gpu": {"minMemory": "10Gi"}},
            [_on("a", 0)] * 110 + [_on("b", 8)],
            0,
            (
                "2 of 3 nodes could hold a replica, none has room now: "
                "1 node has as many pods as may run there; 1 node has less than 1 {gpu} free"
            ),
        ),
    ],
)
def test_counts_what_fits_beside_what_runs(
    spec: dict[str, Any], taken: list[Place], room: int, message: str
) -> None:
    said = _report(spec, [_A, _B, _CPU], _taken(*taken))
    assert (said.fits, said.room) == (2, room)
    assert said.message.startswith(message.format(gpu=_GPU))
    assert said.message.endswith("1 node lacks nvidia.com/gpu")


def test_devices_of_a_claim_are_the_schedulers_business() -> None:
    said = _report({"gpu": {"claimTemplate": "gpus", "count": 8}}, [_CPU], _taken())
    assert said.message == (
        "1 of 1 node could hold a replica, the devices of its claim aside, 7 more fit now"
    )


def test_without_knowing_what_runs_it_says_nothing_of_room() -> None:
    said = _report({"gpu": {}}, [_A])
    assert (said.room, said.message) == (None, "1 of 1 node could hold a replica")


def test_only_what_matters_is_news() -> None:
    spec = {"gpu": {"count": 4}}
    full, fuller = _taken(_on("a", 5)), _taken(_on("a", 7))
    assert _report(spec, [_A], full).news == _report(spec, [_A], fuller).news
    assert _report(spec, [_A], full).news != _report(spec, [_A], _taken()).news
    assert _report(spec, [_A], full).news != _report(spec, [_A, _CPU], full).news
