"""Which nodes could hold a replica, how many fit now, and what lacks elsewhere, in one sentence.

Each node is counted once, under the first thing that it lacks: a node without GPUs is not also
one with too few cores. Nodes that could hold a replica and are full come first: what frees one
of them helps at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmservice_operator.api.gpu import Gpu
from llmservice_operator.placement.amounts import times
from llmservice_operator.placement.demand import Demand
from llmservice_operator.placement.lacks import Lack, first_lack, lack_of_room
from llmservice_operator.placement.nodes import NodeFacts
from llmservice_operator.placement.taken import Taken

_MOST_REASONS = 5


@dataclass(frozen=True)
class PlacementReport:
    """fits: how many nodes could hold a replica if nothing else ran there; None where nodes are
    not known. room: how many more replicas fit now; None where it is not known what runs. lacks:
    what keeps replicas from the other nodes, without numbers. message: all of this as a sentence.
    """

    fits: int | None
    room: int | None
    lacks: frozenset[str]
    message: str

    @property
    def news(self) -> tuple[int | None, bool | None, frozenset[str]]:
        """What it says but for the numbers that change whenever any pod comes or goes."""
        return self.fits, None if self.room is None else self.room > 0, self.lacks


def report(
    asked: Demand, gpu: Gpu | None, nodes: Iterable[NodeFacts], taken: Taken | None
) -> PlacementReport:
    """What the nodes have for one replica, beside what is taken of them."""
    fitting: list[NodeFacts] = []
    lacks: list[Lack] = []
    for node in nodes:
        if lack := first_lack(node, asked, gpu):
            lacks.append(lack)
        else:
            fitting.append(node)
    count, groups = len(fitting) + len(lacks), _grouped(lacks)
    room = None if taken is None else 0
    kinds = frozenset(f"{lack.verb} {lack.what}" for lack in lacks)
    if not count:
        return PlacementReport(0, room, kinds, "there are no nodes")
    if gpu and not fitting and kinds == frozenset({f"lack {gpu.resource}"}):
        return PlacementReport(0, room, kinds, f"no node has {gpu.resource}")
    head = f"{len(fitting)} of {_nodes(count)}" if fitting else "no node"
    head += " could hold a replica"
    if gpu and gpu.claim_template:
        head += ", the devices of its claim aside"
    if fitting and taken is not None:
        room = sum(_room(node, asked, taken) for node in fitting)
        full = [_lack_of_room(node, asked, taken) for node in fitting]
        groups = _grouped([lack for lack in full if lack]) + groups
        head += f", {_now(room, sum(_soon(node, asked, taken) for node in fitting))}"
    return PlacementReport(len(fitting), room, kinds, _sentence(head, groups))


def _room(node: NodeFacts, asked: Demand, taken: Taken) -> int:
    return times(node.allocatable, taken.of(node.name), asked.amounts)


def _soon(node: NodeFacts, asked: Demand, taken: Taken) -> int:
    """The room once pods that are ending have ended."""
    ending = taken.ending(node.name)
    stays = {name: amount - ending.get(name, 0) for name, amount in taken.of(node.name).items()}
    return times(node.allocatable, stays, asked.amounts)


def _lack_of_room(node: NodeFacts, asked: Demand, taken: Taken) -> Lack | None:
    if _room(node, asked, taken):
        return None
    return lack_of_room(node, taken.of(node.name), asked)


def _now(room: int, soon: int) -> str:
    if room:
        return f"{room} more fit{'s' if room == 1 else ''} now"
    verb = "fits" if soon == 1 else "fit"
    later = f", {soon} {verb} once pods that are ending are gone" if soon else ""
    return f"none has room now{later}"


def _sentence(head: str, groups: Sequence[Sequence[Lack]]) -> str:
    told = [_told(group) for group in groups[:_MOST_REASONS]]
    if rest := sum(len(group) for group in groups[_MOST_REASONS:]):
        told.append(f"{_nodes(rest)} for other reasons")
    return f"{head}: {'; '.join(told)}" if told else head


def _grouped(lacks: Iterable[Lack]) -> list[list[Lack]]:
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
