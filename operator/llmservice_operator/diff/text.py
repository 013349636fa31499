"""One object before and after, as a unified diff of its YAML without what is no news. Pure."""

import io
from difflib import unified_diff
from typing import Any, cast

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.files import dump
from llmservice_operator.records import APPLIED_HASH

# What the API server counts and draws by itself, anew with each object or each write.
_METADATA = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")
_DRAWN = ("clusterIP", "clusterIPs", "healthCheckNodePort")


def difference(before: Manifest | None, after: Manifest | None) -> str:
    """None is an object that is not there. Empty where a person would see no difference."""
    there = after or before or {}
    meta = there.get("metadata", {})
    name = f"{meta.get('namespace')}/{there.get('kind')}/{meta.get('name')}"
    lines = unified_diff(
        _lines(before, new=False),
        _lines(after, new=before is None),
        f"cluster/{name}" if before else "/dev/null",
        f"applied/{name}" if after else "/dev/null",
    )
    return "".join(lines)


def _lines(obj: Manifest | None, *, new: bool) -> list[str]:
    if obj is None:
        return []
    text = io.StringIO()
    dump([_told(obj, new=new)], text)
    return text.getvalue().splitlines(keepends=True)


def _told(obj: Manifest, *, new: bool) -> Manifest:
    meta: Manifest = {k: v for k, v in obj["metadata"].items() if k not in _METADATA}
    annotations = {k: v for k, v in meta.pop("annotations", {}).items() if k != APPLIED_HASH}
    if annotations:
        meta["annotations"] = annotations
    owners = cast("list[Manifest]", meta.get("ownerReferences", []))
    if owners:
        meta["ownerReferences"] = [{k: v for k, v in o.items() if k != "uid"} for o in owners]
    rest = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    told = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": meta, **rest}
    if new and obj.get("kind") == "Service":
        told["spec"] = _undrawn(obj["spec"])
    return told


def _undrawn(spec: Manifest) -> Manifest:
    ports: list[Any] = [
        {k: v for k, v in port.items() if k != "nodePort"} for port in spec.get("ports", [])
    ]
    return {k: v for k, v in spec.items() if k not in _DRAWN} | {"ports": ports}
