"""spec.autoscaling: how the number of replicas follows the load."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from llmservice_operator.api.fields import INT32_MAX
from llmservice_operator.api.part import Part, rule, rules

Replicas = Annotated[int, Field(ge=1, le=1000)]
Percent = Annotated[int, Field(ge=1, le=1000)]


class ScalingPolicy(Part):
    """One bound on the pace of a change."""

    type: Literal["Pods", "Percent"]
    """What value counts."""
    value: Annotated[int, Field(ge=1, le=INT32_MAX)]
    """By how much the number may change within the period."""
    period_seconds: Annotated[int, Field(ge=1, le=1800)]
    """The period that value is counted over."""


class ScalingRules(Part):
    """The pace in one direction."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """How far back recommendations are looked at, so that a short swing changes nothing."""
    select_policy: Literal["Max", "Min", "Disabled"] | None = None
    """Which policy counts when there are several."""
    policies: (
        Annotated[
            tuple[ScalingPolicy, ...],
            Field(
                min_length=1, max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"}
            ),
        ]
        | None
    ) = None
    """Bounds on the pace."""


class Behavior(Part):
    """The pace of scaling, as in a HorizontalPodAutoscaler."""

    scale_up: ScalingRules | None = None
    """Default: at once, by 4 pods or 100% a minute, whichever is more."""
    scale_down: ScalingRules | None = None
    """Default: by 1 pod a minute, after 5 minutes of lower load."""


class Autoscaling(Part):
    """A number of replicas that follows the load."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.min <= self.max",
                "autoscaling.min (2 where it is not written) is above autoscaling.max: write a "
                "smaller min or a larger max",
                path=".min",
            )
        )
    )

    min: Replicas = 2
    """The fewest replicas."""

    max: Replicas = 10
    """The most replicas."""

    # No default of the schema: it would hold beside every other target that is written.
    cpu: Percent | None = None
    """Mean CPU use of the replicas to aim at, in percent of their CPU request. Default: 70."""

    memory: Percent | None = None
    """Mean memory use to aim at, in percent of the memory request; the higher of both counts.
    Default: 80 for a proxy; else not looked at, because a model server's memory does not follow its
    load."""

    behavior: Behavior | None = None
    """The pace. Default: fast up, slow down."""
