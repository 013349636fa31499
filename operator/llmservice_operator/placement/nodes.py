"""What is known of a node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from llmservice_operator.api.manifest import Manifest


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node as the scheduler sees it, without what runs on it; quantities as the node has them."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    taints: Sequence[Manifest] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict[str, str])
    unschedulable: bool = False
