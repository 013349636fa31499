"""What a node lacks for a replica: the scheduler's filters, each with its words. Pure.

Follows the scheduler's plugins NodeAffinity, NodeResourcesFit, TaintToleration and
NodeUnschedulable. What they do not look at (how replicas spread, where volumes are, what a pod
asks beside its template, as an injected sidecar) is not looked at here either.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Literal

from llmservice_operator.api.gpu import Gpu
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.placement import labels
from llmservice_operator.placement.amounts import PODS
from llmservice_operator.placement.demand import Demand
from llmservice_operator.placement.matching import matches, terms, tolerated
from llmservice_operator.placement.nodes import NodeFacts

_CORDONED: Manifest = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_MEBIBYTE = 2**20
_GIBIBYTE = 2**30
_NOTHING_MATCHES: Manifest = {"key": "an empty term", "operator": "matches no node"}
_BYTES = frozenset({"memory", "ephemeral-storage"})


@dataclass(frozen=True, slots=True)
class Lack:
    """verb and what make the sentence; amount, shown as text, is what the node has instead."""

    verb: Literal["lack", "have", "are"]
    what: str
    amount: int = 0
    shown: str = ""


def first_lack(node: NodeFacts, asked: Demand, gpu: Gpu | None) -> Lack | None:
    """The first thing that keeps a replica from the node, or None where it could run there."""
    return next(_lacks(node, asked, gpu), None)


def lack_of_room(node: NodeFacts, taken: Mapping[str, int], asked: Demand) -> Lack:
    """What is too scarce for one more replica beside what is taken."""
    for resource, wanted in asked.amounts:
        left = max(0, node.allocatable.get(resource, 0) - taken.get(resource, 0))
        if left < wanted:
            what = f"less than {_amount(resource, asked.requests[resource])} free"
            return Lack("have", what, left, _shown(resource, left))
    return Lack("have", "as many pods as may run there")


def _lacks(node: NodeFacts, asked: Demand, gpu: Gpu | None) -> Iterator[Lack]:
    if gpu is not None:
        yield from _of_resources(node, asked, {gpu.resource})
    unmet = [_first_unmet(term, node.labels) for term in terms(asked.node_affinity)]
    if unmet and None not in unmet:
        yield _of_label(node.labels, unmet[0] or {}, gpu)
    for key, value in asked.node_selector.items():
        if node.labels.get(key) != value:
            yield Lack("lack", f"the label {key}={value}")
    yield from _of_resources(node, asked, asked.requests.keys())
    if not node.allocatable.get(PODS):
        yield Lack("are", "not for pods")
    for taint in node.taints:
        if not (node.unschedulable and _CORDONED.items() <= taint.items()) and not tolerated(
            taint, asked.tolerations
        ):
            value = f"={taint['value']}" if taint.get("value") else ""
            shown = f"{taint.get('key')}{value}:{taint.get('effect')}"
            yield Lack("have", f"the taint {shown}, which pod.tolerations does not list")
    if node.unschedulable and not tolerated(_CORDONED, asked.tolerations):
        yield Lack("are", "cordoned")


def _of_resources(node: NodeFacts, asked: Demand, names: Collection[str]) -> Iterator[Lack]:
    for resource, wanted in asked.amounts:
        has = node.allocatable.get(resource, 0)
        if has < wanted and resource in names:
            none = has == 0 and "/" in resource
            what = resource if none else _amount(resource, asked.requests[resource])
            yield Lack("lack", what, has, _shown(resource, has))


def _first_unmet(term: Sequence[Manifest], labels: Mapping[str, str]) -> Manifest | None:
    if not term:
        return _NOTHING_MATCHES
    return next((expression for expression in term if not matches(expression, labels)), None)


def _of_label(node: Mapping[str, str], unmet: Manifest, gpu: Gpu | None) -> Lack:
    """Why the node's labels will not do, in GPU terms where the label tells of GPUs."""
    key, operator, values = unmet["key"], unmet["operator"], unmet.get("values", ())
    has = node.get(key)
    if gpu is not None and key == labels.product(gpu.resource):
        return Lack("have", f"{has} as GPU" if has else f"no label {key}")
    if gpu is not None and key == labels.memory(gpu.resource) and operator == "Gt":
        if has is None or not has.isdecimal():
            return Lack("have", f"{key}={has}, not a number" if has else f"no label {key}")
        least, mebibytes = int(values[0]) + 1, int(has)
        wanted = f"{_gibibytes(least * _MEBIBYTE, ROUND_CEILING)} GiB of GPU memory"
        shown = f"{_gibibytes(mebibytes * _MEBIBYTE, ROUND_FLOOR)} GiB"
        return Lack("lack", wanted, mebibytes, shown)
    if gpu is not None and key == labels.sharing(gpu.resource):
        return Lack("have", "shared GPUs only, which promise no memory")
    return Lack("lack", f"a label {' '.join([key, operator, ', '.join(values)]).strip()}")


def _gibibytes(amount: int, rounding: str) -> str:
    """What is asked for is rounded up and what there is down: a near miss never reads as equal."""
    exact = Decimal(amount) / _GIBIBYTE
    return f"{exact.quantize(Decimal('0.01'), rounding).normalize():f}"


def _amount(resource: str, written: str) -> str:
    return f"{written} {resource}" if "/" in resource else f"{written} of {resource}"


def _shown(resource: str, amount: int) -> str:
    if resource in _BYTES:
        return f"{_gibibytes(amount, ROUND_FLOOR)}Gi"
    return f"{Decimal(amount) / 1000:f}" if resource == "cpu" else str(amount)
