"""The record of a pod: what its status tells of its start and of what it suffers from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llmservice_operator import placement
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.pod import INSTANCE
from llmservice_operator.placement import Place
from llmservice_operator.records.names import Ref


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container that is not up again ended: message is what it left in its termination log,
    if anything; restarts counts how often it was started again since its pod began.
    """

    code: int
    reason: str
    message: str
    restarts: int


@dataclass(frozen=True, slots=True)
class Start:
    """When a pod went on, in RFC 3339; "" for what is not so (any more). running: since when all
    of its containers do.
    """

    created: str
    scheduled: str
    running: str
    ready: str
    restarted: bool


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod with our label. waiting is (reason, message) of the first container that waits; place
    is where it runs or starts, and what it takes there; address is its IP, "" where it has none.
    """

    ref: Ref
    version: int
    instance: str
    phase: str
    ready: bool
    deleting: bool
    unschedulable: str | None
    waiting: tuple[str, str] | None
    last_exit: Exit | None
    start: Start
    image: str
    memory_limit: str
    config_maps: frozenset[str]
    place: Place | None
    address: str


def pod(obj: Manifest) -> Pod:
    meta, spec, status = obj["metadata"], obj.get("spec", {}), obj.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions", ())}
    scheduled = conditions.get("PodScheduled", {})
    server = next(iter(spec.get("containers", ())), Manifest())
    first, later = status.get("initContainerStatuses", ()), status.get("containerStatuses", ())
    return Pod(
        ref=Ref("Pod", meta["namespace"], meta["name"]),
        version=int(meta["resourceVersion"]),
        instance=meta.get("labels", {}).get(INSTANCE, ""),
        phase=status.get("phase", "Unknown"),
        ready=conditions.get("Ready", {}).get("status") == "True",
        deleting="deletionTimestamp" in meta,
        unschedulable=scheduled.get("message", "")
        if scheduled.get("reason") == "Unschedulable"
        else None,
        waiting=_waiting([*first, *later]),
        last_exit=_last_exit(first, may_end=True) or _last_exit(later, may_end=False),
        start=_start(meta, conditions, later),
        image=server.get("image", ""),
        memory_limit=server.get("resources", {}).get("limits", {}).get("memory", ""),
        config_maps=frozenset(
            v["configMap"]["name"] for v in spec.get("volumes", ()) if "configMap" in v
        ),
        place=placement.place(obj),
        address=status.get("podIP", ""),
    )


def _start(meta: Manifest, conditions: Manifest, containers: Sequence[Manifest]) -> Start:
    def since(condition: str) -> str:
        found = conditions.get(condition, {})
        return (found.get("status") == "True" and found.get("lastTransitionTime")) or ""

    runs = [c.get("state", {}).get("running", {}).get("startedAt") or "" for c in containers]
    return Start(
        created=meta.get("creationTimestamp", ""),
        scheduled=since("PodScheduled"),
        running=max(runs) if runs and all(runs) else "",
        ready=since("Ready"),
        restarted=any(c.get("restartCount") for c in containers),
    )


def _waiting(containers: Iterable[Manifest]) -> tuple[str, str] | None:
    # A container that waits for its turn or for its image is on its way, not in trouble.
    for status in containers:
        waiting = status.get("state", {}).get("waiting", {})
        reason = waiting.get("reason", "")
        if reason and reason not in {"ContainerCreating", "PodInitializing"}:
            return reason, waiting.get("message", "")
    return None


def _last_exit(containers: Iterable[Manifest], *, may_end: bool) -> Exit | None:
    """may_end: to end without an error is what they are there for."""
    for status in containers:
        state: dict[str, Any] = status.get("state", {})
        ended = state.get("terminated")
        if not status.get("started"):  # one that has started since is past its last exit
            ended = ended or status.get("lastState", {}).get("terminated")
        if not ended:
            continue
        code, reason = ended.get("exitCode", 0), ended.get("reason", "")
        restarts = status.get("restartCount", 0)
        if code != 0 or reason == "OOMKilled" or (restarts and not may_end):
            return Exit(code, reason, ended.get("message", "").strip(), restarts)
    return None
