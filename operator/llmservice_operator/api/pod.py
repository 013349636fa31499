"""spec.pod: what the replicas' pods ask of their nodes, and what others see on them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from llmservice_operator.api.fields import (
    Annotations,
    Labels,
    LabelValue,
    ObjectName,
    QualifiedName,
    Quantity,
    named,
)
from llmservice_operator.api.part import Part, rule, rules

NAME, INSTANCE, MANAGED_BY = OWN_LABELS = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
)
"""Labels that the operator sets on everything it makes, besides those of its own domain."""

Amounts = Annotated[Mapping[str, Quantity], Field(max_length=16)]


class Resources(Part):
    """What the server's container asks for, and what it may not exceed."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.requests) || !has(self.limits) || self.requests.all(k, "
                "!(k in self.limits) || !isQuantity(string(self.requests[k])) || "
                "!isQuantity(string(self.limits[k])) || !quantity(string(self.requests[k]))"
                ".isGreaterThan(quantity(string(self.limits[k]))))",
                "a request is above its limit: lower the request or raise the limit",
                path=".requests",
            ),
            rule(
                "[has(self.requests) ? self.requests : {}, has(self.limits) ? self.limits : {}]"
                ".all(m, !('nvidia.com/gpu' in m) && !('amd.com/gpu' in m))",
                "GPUs are asked for in gpu: write gpu.count, and gpu.resource where it is not "
                "nvidia.com/gpu",
            ),
        )
    )

    requests: Amounts | None = None
    """What a node must have free, as {cpu: 4, memory: 16Gi}. Autoscaling on CPU measures against
    it. Default: one CPU and one more for each GPU; memory for the server, 6Gi more for each GPU,
    and on CPU for the weights, as far as the model's name tells its size; for a proxy a quarter of
    a CPU and 192Mi."""

    limits: Amounts | None = None
    """What the server may not exceed. Default: none, because a limit guessed too low ends the
    server while it loads; for a proxy 1Gi of memory, where no memory is requested here."""


class Toleration(Part):
    """A taint that the pods put up with."""

    key: QualifiedName | None = None
    """The taint's key. Default: any, with operator Exists."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Whether the value must be the same, or any will do."""
    value: LabelValue | None = None
    """The taint's value, with operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect. Default: any."""
    toleration_seconds: Annotated[int, Field(ge=0)] | None = None
    """How long a NoExecute taint is put up with. Default: for ever."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.operator == 'Exists' ? !has(self.value) : has(self.key)",
                "operator Exists takes no value and operator Equal needs a key: write "
                "{key: dedicated, value: llm} or {key: dedicated, operator: Exists}",
            ),
            rule(
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerationSeconds needs effect NoExecute: write it, or remove tolerationSeconds",
            ),
        )
    )


class TopologySpread(Part):
    """How evenly replicas lie over zones, racks or nodes."""

    topology_key: QualifiedName
    """The node label whose values are the zones, as topology.kubernetes.io/zone."""
    max_skew: Annotated[int, Field(ge=1, le=100)] = 1
    """By how many replicas two of them may differ."""
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"] = "ScheduleAnyway"
    """What to do with a replica that would break the rule."""


class PullSecret(Part):
    """A Secret of type kubernetes.io/dockerconfigjson."""

    name: ObjectName
    """Name of the Secret."""


class Pod(Part):
    """What the replicas' pods ask of their nodes."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"!has(self.labels) || self.labels.all(k, !(k in {list(OWN_LABELS)}) && "
                "!k.startsWith('llmservice.io/'))",
                "app.kubernetes.io/name, instance, managed-by and llmservice.io/ are the "
                "operator's own: choose other keys",
                path=".labels",
            ),
        )
    )

    resources: Resources | None = None
    """CPU, memory and other resources of each replica. GPUs go into `gpu`."""

    node_selector: Labels | None = None
    """Labels that a node must have."""

    # No field tells two of them apart, and the API server merges no sets of objects.
    tolerations: Annotated[
        tuple[Toleration, ...],
        Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    """Taints that the pods put up with, besides the one for gpu.resource."""

    # No default of the schema: it would stay beside the entries that somebody applies.
    topology_spread: (
        Annotated[
            tuple[TopologySpread, ...],
            Field(
                max_length=8,
                json_schema_extra={
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["topologyKey", "whenUnsatisfiable"],
                },
            ),
        ]
        | None
    ) = None
    """How replicas are spread. Default: over zones where that is possible."""

    priority_class_name: ObjectName | None = None
    """Name of a PriorityClass."""

    runtime_class_name: ObjectName | None = None
    """Name of a RuntimeClass, as nvidia where nodes need it."""

    image_pull_secrets: Annotated[tuple[PullSecret, ...], named(8)] = ()
    """Secrets that open a private registry."""

    labels: Labels | None = None
    """More labels for the pods."""

    annotations: Annotations | None = None
    """More annotations for the pods."""
