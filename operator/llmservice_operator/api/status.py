"""status: what the operator reports, for the schema. What it writes is made in `status/`."""

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from llmservice_operator.api.part import Part

_Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Count = Annotated[int, Field(ge=0)]
MOST_CONDITIONS = 32


class ReportedCondition(Part):
    """One answer about the resource, as in every Kubernetes API."""

    type: Annotated[str, Field(max_length=316)]
    """Ready: a replica answers. Progressing: replicas are created or replaced. Degraded: something
    is wrong that waiting does not cure. Guarded: only who shows a key is served. LimitsShared: all
    replicas count together. Reconciling and Stalled are there only while True."""
    status: Literal["True", "False", "Unknown"]
    """The answer."""
    observed_generation: Count | None = None
    """The metadata.generation that the answer is about."""
    last_transition_time: _Time
    """When the answer changed last."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """Why, in one word for programs."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, in a sentence for people."""


class Placement(Part):
    """Which nodes could hold a replica, while one waits for a node."""

    fitting_nodes: Count | None = None
    """How many nodes could hold one if nothing else ran on them. Left out, as roomFor is, where
    the operator may not see nodes."""
    room_for: Count | None = None
    """How many more replicas fit beside what runs on the nodes now; the number may be a minute
    old."""
    message: Annotated[str, Field(max_length=4096)] | None = None
    """The same in a sentence, with what the other nodes lack."""


class Loading(Part):
    """What a server that loads says that it does."""

    phase: Literal["Starting", "Downloading", "Weights", "Compiling", "WarmingUp", "Completion"]
    """Starting: it reads its configuration and starts its engine. Downloading: it fetches the
    model. Weights: it loads them. Compiling: the engine compiles it. WarmingUp: it reserves memory
    and tries what it will do. Completion: it tries a completion of its own."""
    since: _Time
    """When it began to."""
    progress: Annotated[int, Field(ge=0, le=100)] | None = None
    """How much of it is done, in percent, in steps of 25. Left out where the server does not
    count."""


class Startup(Part):
    """How far the newest start of a replica is, and what took how long."""

    pod: Annotated[str, Field(max_length=253)]
    """The replica's pod: one that starts, if there is one, else the one that started last. It
    is none whose server was restarted."""
    phase: Literal["Scheduling", "Pulling", "Loading", "Ready"]
    """Scheduling: it waits for a node. Pulling: the node pulls the image, mounts volumes and makes
    the container. Loading: the server fetches the model, loads it and tries a completion."""
    since: _Time | None = None
    """When the phase began. Left out once it is Ready."""
    loading: Loading | None = None
    """While the phase is Loading: what the server says that it does. It is asked after ten seconds,
    and then every few. Left out where the operator cannot reach it, as behind a NetworkPolicy."""
    scheduling_seconds: Count | None = None
    """How long it waited for a node."""
    pulling_seconds: Count | None = None
    """How long its node took to run the server."""
    loading_seconds: Count | None = None
    """How long the server took to answer."""


class LLMServiceStatus(Part):
    """What the operator sees. It is written by the operator alone, but for conditions of other
    types that others add.
    """

    observed_generation: int | None = None
    """The metadata.generation that this status is about; -1 where there is none yet."""
    conditions: (
        Annotated[
            tuple[ReportedCondition, ...],
            Field(
                max_length=MOST_CONDITIONS,
                json_schema_extra={
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"],
                },
            ),
        ]
        | None
    ) = None
    """Whether it serves, whether it is changing, and what is wrong."""
    replicas: Count | None = None
    """Replicas that there are, those of an old revision included."""
    ready_replicas: Count | None = None
    """Replicas that answer."""
    updated_replicas: Count | None = None
    """Replicas of the newest revision."""
    selector: Annotated[str, Field(max_length=1024)] | None = None
    """Selects the replicas' pods, for autoscalers."""
    url: Annotated[str, Field(max_length=1024)] | None = None
    """Base URL for OpenAI clients in the cluster."""
    model: Annotated[str, Field(max_length=253)] | None = None
    """What clients write as `model`."""
    placement: Placement | None = None
    """Which nodes could hold a replica, while one waits for a node."""
    startup: Startup | None = None
    """How far the newest start of a replica is, and what took how long."""
