"""One LLMService as it stands: what the pure parts (rollout, status) decide from."""

from dataclasses import dataclass

from llmservice_operator.api.conditions import Reason
from llmservice_operator.records import Child, Pod, Resource


@dataclass(frozen=True)
class Observed:
    """children: those that carry this resource's uid. pods: those with its labels.

    unseen: kinds that we have no right to watch; nothing is known of what there is of them.
    """

    resource: Resource
    children: tuple[Child, ...]
    pods: tuple[Pod, ...]
    unseen: frozenset[str] = frozenset()

    def child(self, kind: str, name: str | None = None) -> Child | None:
        """The child of that kind; name defaults to the resource's own."""
        wanted = name or self.resource.key.name
        return next((c for c in self.children if c.ref.kind == kind and c.ref.name == wanted), None)


@dataclass(frozen=True)
class Problem:
    """What keeps the operator from writing what the resource asks for.

    stalled: nothing will change until somebody changes something. passing: the next try may find it
    gone. again: seconds until another try is of use, 0 where nobody knows.
    """

    reason: Reason
    message: str
    stalled: bool = False
    passing: bool = False
    again: float = 0.0
