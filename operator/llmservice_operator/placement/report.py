"""Which nodes could hold a replica, and what the others lack, in one sentence with numbers.

Looks at what nodes have, not at what runs on them. Each node is counted once, under the first
thing that it lacks: a node without GPUs is not also one with too few cores.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from llmservice_operator.api.resource import LLMService
from llmservice_operator.placement.demand import demand
from llmservice_operator.placement.lacks import Lack, first_lack
from llmservice_operator.placement.nodes import NodeFacts

_MOST_REASONS = 5


@dataclass(frozen=True)
class PlacementReport:
    """fits: how many nodes could hold a replica; message: a sentence about the others too."""

    fits: int
    message: str


def report(service: LLMService, nodes: Sequence[NodeFacts]) -> PlacementReport:
    """What the nodes have for one replica of the service."""
    asked, gpu = demand(service), service.spec.gpu
    lacks = [lack for node in nodes if (lack := first_lack(node, asked, gpu))]
    fits = len(nodes) - len(lacks)
    if not nodes:
        return PlacementReport(0, "there are no nodes")
    if gpu and all(lack.what == gpu.resource for lack in lacks) and not fits:
        return PlacementReport(0, f"no node has {gpu.resource}")
    could = f"{fits} of {_nodes(len(nodes))} could hold a replica"
    if not lacks:
        return PlacementReport(fits, could)
    groups = _grouped(lacks)
    told = [_told(group) for group in groups[:_MOST_REASONS]]
    if rest := sum(len(group) for group in groups[_MOST_REASONS:]):
        told.append(f"{_nodes(rest)} for other reasons")
    reasons = "; ".join(told)
    return PlacementReport(fits, f"{could if fits else 'no node could hold a replica'}: {reasons}")


def _grouped(lacks: Sequence[Lack]) -> list[list[Lack]]:
    """Lacks of one kind together, the most frequent first."""
    groups: dict[tuple[str, str], list[Lack]] = {}
    for lack in lacks:
        groups.setdefault((lack.verb, lack.what), []).append(lack)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0].what))


def _told(group: Sequence[Lack]) -> str:
    one = len(group) == 1
    verb = {"lack": "lacks", "have": "has", "are": "is"}[group[0].verb] if one else group[0].verb
    told = f"{_nodes(len(group))} {verb} {group[0].what}"
    best = max(group, key=lambda lack: lack.amount)
    if not best.amount:
        return told
    return f"{told}, {'it' if one else 'the largest'} has {best.shown}"


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"
