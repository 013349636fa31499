"""What a node lacks for a replica: the scheduler's filters, each with its words. Pure.

Follows the scheduler's plugins NodeResourcesFit, NodeAffinity, TaintToleration and
NodeUnschedulable on what a node has, without what other pods take of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Literal

from llmservice_operator.api import quantity
from llmservice_operator.api.gpu import Gpu
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.placement import labels
from llmservice_operator.placement.affinity import asks_for_shared
from llmservice_operator.placement.demand import Demand
from llmservice_operator.placement.nodes import NodeFacts

_CORDONED: Manifest = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_HARD_EFFECTS = ("NoSchedule", "NoExecute")
_MEBIBYTE = Decimal(2**20)
_GIBIBYTE = Decimal(2**30)
_NOTHING = Decimal(0)


@dataclass(frozen=True)
class Lack:
    """verb and what make the sentence; amount, shown as text, is what the node has instead."""

    verb: Literal["lack", "have", "are"]
    what: str
    amount: Decimal = _NOTHING
    shown: str = ""


def first_lack(node: NodeFacts, asked: Demand, gpu: Gpu | None) -> Lack | None:
    """The first thing that keeps a replica from the node, or None where it could run there."""
    return next(_lacks(node, asked, gpu), None)


def _lacks(node: NodeFacts, asked: Demand, gpu: Gpu | None) -> Iterator[Lack]:
    if gpu is not None:
        yield from _gpu_lacks(node, gpu)
    for key, value in asked.node_selector.items():
        if node.labels.get(key) != value:
            yield Lack("lack", f"the label {key}={value}")
    for resource, wanted in asked.requests.items():
        has = quantity.parse(node.allocatable.get(resource, "0"))
        if has < quantity.parse(wanted):
            yield Lack("lack", f"{wanted} of {resource}", has, _shown(resource, has))
    for taint in node.taints:
        if taint.get("key") != _CORDONED["key"] and not _tolerated(taint, asked.tolerations):
            value = f"={taint['value']}" if taint.get("value") else ""
            shown = f"{taint.get('key')}{value}:{taint.get('effect')}"
            yield Lack("have", f"the taint {shown}, which pod.tolerations does not list")
    if node.unschedulable and not _tolerated(_CORDONED, asked.tolerations):
        yield Lack("are", "cordoned")


def _gpu_lacks(node: NodeFacts, gpu: Gpu) -> Iterator[Lack]:
    has = quantity.parse(node.allocatable.get(gpu.resource, "0"))
    if not has:
        yield Lack("lack", gpu.resource)
    if has < gpu.devices:
        yield Lack("lack", f"{gpu.devices} {gpu.resource}", has, str(has))
    product = node.labels.get(labels.product(gpu.resource))
    if gpu.products and product not in gpu.products:
        has_instead = f"{product} as GPU" if product else f"no label {labels.product(gpu.resource)}"
        yield Lack("have", has_instead)
    if gpu.min_mebibytes is not None:
        yield from _memory_lacks(node.labels, gpu, gpu.min_mebibytes)


def _memory_lacks(node: Mapping[str, str], gpu: Gpu, least: int) -> Iterator[Lack]:
    label = node.get(labels.memory(gpu.resource), "")
    if not label.isdecimal():
        yield Lack("have", f"no label {labels.memory(gpu.resource)}")
    elif int(label) < least:
        has, wanted = int(label) * _MEBIBYTE, _gibibytes(least * _MEBIBYTE, ROUND_CEILING)
        shown = f"{_gibibytes(has, ROUND_FLOOR)} GiB"
        yield Lack("lack", f"{wanted} GiB of GPU memory", has, shown)
    elif not asks_for_shared(gpu) and node.get(labels.SHARING) in labels.SHARED_STRATEGIES:
        yield Lack("have", "shared GPUs only, which promise no memory")


def _tolerated(taint: Manifest, tolerations: Sequence[Manifest]) -> bool:
    return taint.get("effect") not in _HARD_EFFECTS or any(
        toleration.get("effect") in (None, taint.get("effect"))
        and toleration.get("key") in (None, taint.get("key"))
        and (
            toleration.get("operator") == "Exists"
            or toleration.get("value", "") == taint.get("value", "")
        )
        for toleration in tolerations
    )


def _gibibytes(amount: Decimal, rounding: str) -> str:
    """What is asked for is rounded up and what there is down: a near miss never reads as equal."""
    return f"{(amount / _GIBIBYTE).quantize(Decimal('0.01'), rounding).normalize():f}"


def _shown(resource: str, amount: Decimal) -> str:
    if resource in {"memory", "ephemeral-storage"}:
        return f"{_gibibytes(amount, ROUND_FLOOR)}Gi"
    return f"{amount.normalize():f}"
