"""How a user's next `kubectl apply` of a resource goes: as it went last. Pure."""

import json
from contextlib import suppress
from typing import Any, cast

from llmservice_operator.api.manifest import Manifest

KUBECTL = "kubectl"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def applier(live: Manifest) -> str | None:
    """Who applied the resource server-side; None where a client merges its file into it.

    Raises ValueError, with a sentence, where several did.
    """
    managers = sorted(
        {
            entry["manager"]
            for entry in live["metadata"].get("managedFields", ())
            if entry["operation"] == "Apply" and "f:spec" in entry.get("fieldsV1", {})
        }
    )
    if KUBECTL in managers:
        return KUBECTL
    if not managers or _last_applied(live) is not None:
        return None
    if len(managers) > 1:
        several = ", ".join(managers)
        raise ValueError(f"{several} share it: write --field-manager with the one that is yours")
    return managers[0]


def merge_patch(live: Manifest, written: Manifest) -> Manifest:
    """The JSON merge patch (RFC 7386) of a client-side apply: what is written is set, and what
    was written the last time and is no longer goes.
    """
    last = (_last_applied(live) or {}).get("spec")
    return {"spec": _merged(last, written["spec"])}


def _merged(last: Any, new: Any) -> Any:
    if not isinstance(new, dict):
        return new
    before = cast("Manifest", last) if isinstance(last, dict) else {}
    now = cast("Manifest", new)
    gone: Manifest = {name: None for name in before if name not in now}
    return gone | {name: _merged(before.get(name), value) for name, value in now.items()}


def _last_applied(live: Manifest) -> Manifest | None:
    written = live["metadata"].get("annotations", {}).get(_LAST_APPLIED)
    with suppress(TypeError, ValueError):  # anybody can write an annotation
        found: object = json.loads(written)
        return cast("Manifest", found) if isinstance(found, dict) else None
    return None
