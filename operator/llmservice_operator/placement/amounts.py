"""Amounts of resources as the scheduler reckons with them: whole numbers, CPU in thousandths. Pure.

Follows PodRequests of component-helpers/resource and NewResource of the scheduler: fractions are
rounded up, in what is asked for and in what there is.
"""

import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

from llmservice_operator.api import quantity
from llmservice_operator.api.manifest import Manifest

Amounts = tuple[tuple[str, int], ...]

PODS = "pods"
_OF_PODS_AS_A_WHOLE = frozenset({"cpu", "memory"})


def amounts(quantities: Mapping[str, object] | None) -> dict[str, int]:
    """Quantities as written, as numbers. ValueError where one is none."""
    return {
        sys.intern(resource): _whole(resource, str(written))
        for resource, written in (quantities or {}).items()
    }


@lru_cache(4096)
def _whole(resource: str, written: str) -> int:
    return math.ceil(quantity.parse(written) * (1000 if resource == "cpu" else 1))


def requested(spec: Manifest) -> Amounts:
    """What a pod with this .spec takes of its node, be it running or starting.

    Sidecars run beside all that comes after them; other init containers one after another, before
    the containers. A resize counts from the moment that it is asked for.
    """
    running = Counter[str]()
    for container in spec.get("containers", ()):
        running.update(_of(container))
    sidecars, starting = Counter[str](), Counter[str]()
    for container in spec.get("initContainers", ()):
        if container.get("restartPolicy") == "Always":
            sidecars.update(_of(container))
            starting |= sidecars
        else:
            starting |= sidecars + Counter(_of(container))
    whole = {
        resource: amount
        for resource, amount in _of(spec).items()
        if resource in _OF_PODS_AS_A_WHOLE or resource.startswith("hugepages-")
    }
    total = Counter(dict((running + sidecars) | starting) | whole)
    total.update(amounts(spec.get("overhead")))
    return _shared(tuple(sorted(total.items())))


def _of(container: Manifest) -> dict[str, int]:
    return amounts(container.get("resources", {}).get("requests"))


@lru_cache(4096)
def _shared(found: Amounts) -> Amounts:
    """Pods of one template ask for the same: one tuple for all of them."""
    return found


def times(
    have: Mapping[str, int], taken: Mapping[str, int], asked: Iterable[tuple[str, int]]
) -> int:
    """How often asked fits into what is left of what a node has, one more pod each time."""
    left = have.get(PODS, 0) - taken.get(PODS, 0)
    for resource, amount in asked:
        if amount:
            left = min(left, (have.get(resource, 0) - taken.get(resource, 0)) // amount)
    return max(0, left)
