"""What is kept of a node and of a pod on it: a few fields each. Pure."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.placement.amounts import Amounts, amounts, requested


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node as the scheduler sees it, without what runs on it."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    taints: Sequence[Manifest] = ()
    allocatable: Mapping[str, int] = field(default_factory=dict[str, int])
    unschedulable: bool = False


class Place(NamedTuple):
    """What a pod takes, and where; ending: it is about to give that back."""

    node: str
    takes: Amounts
    ending: bool


class Scheduled(NamedTuple):
    """A pod that another than us made. name: with its namespace, as ns/name. place: None where
    it takes nothing of any node.
    """

    name: str
    place: Place | None


def node(obj: Manifest) -> NodeFacts:
    """The facts of a Node as the API server sends it. Labels of many nodes share their text."""
    spec, metadata = obj.get("spec", {}), obj["metadata"]
    labels: Mapping[str, str] = metadata.get("labels", {})
    return NodeFacts(
        name=sys.intern(metadata["name"]),
        labels={sys.intern(key): sys.intern(value) for key, value in labels.items()},
        taints=tuple(
            {name: value for name, value in taint.items() if name != "timeAdded"}
            for taint in spec.get("taints", ())
        ),
        allocatable=amounts(obj.get("status", {}).get("allocatable")),
        unschedulable=spec.get("unschedulable", False),
    )


def place(obj: Manifest) -> Place | None:
    """Of a Pod as the API server sends it; None where it takes nothing of any node."""
    spec = obj.get("spec", {})
    if not (on := spec.get("nodeName")) or obj.get("status", {}).get("phase") in _ENDED:
        return None
    return Place(sys.intern(on), requested(spec), "deletionTimestamp" in obj["metadata"])


_ENDED = frozenset({"Succeeded", "Failed"})


def scheduled(obj: Manifest) -> Scheduled:
    """The same with its name."""
    metadata = obj["metadata"]
    return Scheduled(f"{metadata['namespace']}/{metadata['name']}", place(obj))
