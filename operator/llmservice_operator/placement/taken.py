"""What pods take of each node, kept up to date pod by pod. Pure: no I/O, a table of sums."""

from collections import Counter
from collections.abc import Mapping

from llmservice_operator.placement.amounts import PODS
from llmservice_operator.placement.nodes import Place

_NOTHING: Mapping[str, int] = {}


class Taken:
    """Sums by node. Equal puts and removes cancel out; a node without pods takes no memory."""

    def __init__(self) -> None:
        self._all: dict[str, Counter[str]] = {}
        self._ending: dict[str, Counter[str]] = {}

    def __len__(self) -> int:
        """How many nodes have pods."""
        return len(self._all)

    def move(self, old: Place | None, new: Place | None) -> bool:
        """A pod was at old and is at new now. True where that makes a difference."""
        if old == new:
            return False
        for where, sign in ((old, -1), (new, 1)):
            if where is not None:
                _add(self._all, where, sign)
                if where.ending:
                    _add(self._ending, where, sign)
        return True

    def of(self, node: str) -> Mapping[str, int]:
        """What its pods ask for, and their number as "pods"."""
        return self._all.get(node, _NOTHING)

    def ending(self, node: str) -> Mapping[str, int]:
        """The part of it that is about to become free."""
        return self._ending.get(node, _NOTHING)


def _add(sums: dict[str, Counter[str]], where: Place, sign: int) -> None:
    total = sums.setdefault(where.node, Counter())
    total[PODS] += sign
    for resource, amount in where.takes:
        total[resource] += sign * amount
    if not total[PODS]:
        del sums[where.node]
