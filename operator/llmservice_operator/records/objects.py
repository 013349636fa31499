"""The records of an LLMService and of its children."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.resource import KIND
from llmservice_operator.records.names import APPLIED_HASH, FIELD_MANAGER, Key, Ref

_OF_A_BUDGET = ("observedGeneration", "disruptionsAllowed", "desiredHealthy", "expectedPods")


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
