"""What we keep of each object that we watch: a few fields in small records, never the object.

Pure: records are made from what the API server sent, and two records of one object are compared
by resourceVersion, which grows with each write of any object of a kind (a decimal number since
Kubernetes 1.0, promised to be comparable since 1.35).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from llmservice_operator import placement
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.pod import INSTANCE
from llmservice_operator.api.resource import KIND
from llmservice_operator.placement import Place

FIELD_MANAGER = "llmservice-operator"
APPLIED_HASH = "llmservice.io/applied-hash"
"""Annotation on each child: the hash of the manifest that we applied last (see apply.py)."""
_OF_A_BUDGET = ("observedGeneration", "disruptionsAllowed", "desiredHealthy", "expectedPods")


class Key(NamedTuple):
    """Which LLMService: the unit of work everywhere in the operator."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Ref(NamedTuple):
    """Which object, of any kind."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Resource:
    """An LLMService as the user wrote it, with the status that it has now."""

    key: Key
    uid: str
    version: int
    generation: int
    deleting: bool
    manifest: Manifest = field(repr=False)

    @property
    def status(self) -> Manifest:
        return self.manifest.get("status") or {}


@dataclass(frozen=True, slots=True)
class Child:
    """An object with our label. owned is what server-side apply says that we own, as JSON."""

    ref: Ref
    uid: str
    version: int
    generation: int
    deleting: bool
    owner: str | None
    owner_name: str | None
    applied: str
    owned: bytes = field(repr=False)
    replicas: int | None
    status: Manifest = field(repr=False)


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
    is where it runs or starts, and what it takes there.
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


def resource(obj: Manifest) -> Resource:
    meta = obj["metadata"]
    kept = {k: v for k, v in meta.items() if k != "managedFields"}
    return Resource(
        key=Key(meta["namespace"], meta["name"]),
        uid=meta["uid"],
        version=int(meta["resourceVersion"]),
        generation=meta.get("generation", 0),
        deleting="deletionTimestamp" in meta,
        manifest={**obj, "metadata": kept},
    )


def child(obj: Manifest) -> Child:
    meta = obj["metadata"]
    references: list[Manifest] = meta.get("ownerReferences", [])
    owner = next((o for o in references if o.get("controller")), Manifest())
    return Child(
        ref=Ref(obj["kind"], meta["namespace"], meta["name"]),
        uid=meta["uid"],
        version=int(meta["resourceVersion"]),
        generation=meta.get("generation", 0),
        deleting="deletionTimestamp" in meta,
        owner=owner.get("uid"),
        owner_name=owner.get("name") if owner.get("kind") == KIND else None,
        applied=meta.get("annotations", {}).get(APPLIED_HASH, ""),
        owned=_owned_fields(meta.get("managedFields", ())),
        replicas=obj.get("spec", {}).get("replicas"),
        status=_status(obj),
    )


def _status(obj: Manifest) -> Manifest:
    """What is read of it: how a rollout stands, what an autoscaler sees, what a budget allows."""
    status: Manifest = obj.get("status", {})
    if obj["kind"] == "PodDisruptionBudget":
        return {name: status[name] for name in _OF_A_BUDGET if name in status}
    return status if obj["kind"] in {"Deployment", "HorizontalPodAutoscaler"} else {}


def _owned_fields(entries: Iterable[Manifest]) -> bytes:
    for entry in entries:
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply":
            return json.dumps(entry.get("fieldsV1", {}), separators=(",", ":")).encode()
    return b"{}"


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
