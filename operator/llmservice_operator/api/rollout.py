"""spec.rollout and spec.disruption: how replicas are replaced, and how many may be missing."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from llmservice_operator.api.fields import CountOrShare
from llmservice_operator.api.part import Part, rule, rules


class Rollout(Part):
    """How a change reaches the replicas."""

    strategy: Literal["Surge", "Replace"] = "Surge"
    """Surge starts one new replica, waits until it answers, and only then ends an old one: never
    fewer replicas than asked for, and room for one more is needed. Replace ends an old one first:
    no more room is needed, and there is one fewer meanwhile."""

    drain_seconds: Annotated[int, Field(ge=0, le=86400)] = 300
    """How long a replica that is being ended may finish the requests it has: as long as the
    longest answer takes."""

    progress_deadline_seconds: Annotated[int, Field(ge=30, le=86400)] | None = None
    """How long a rollout may make no progress before it counts as failed. Default: ten minutes
    more than the time to start, which is 10 minutes up to 10 billion parameters, 30 up to 70
    billion or where the model's name does not tell, and 60 above."""


class Disruption(Part):
    """How many replicas may be missing while nodes are drained; write one of the two."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!(has(self.maxUnavailable) && has(self.minAvailable))",
                "write maxUnavailable or minAvailable, not both",
            )
        )
    )

    max_unavailable: CountOrShare | None = None
    """How many may be missing, as 1 or 25%. Default: 1."""

    min_available: CountOrShare | None = None
    """How many must stay, as 1 or 50%."""
