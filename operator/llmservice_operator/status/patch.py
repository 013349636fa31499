"""From the status that is there to the one that should be: the patch, and what is news. Pure."""

from typing import Any, cast

from llmservice_operator.api.conditions import ConditionType
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.status import MOST_CONDITIONS

# How far something has come: these numbers, and what else these conditions say.
_NUMBERS = frozenset({"replicas", "readyReplicas", "updatedReplicas", "startup"})
_OURS = frozenset[str](ConditionType)
_NEWS = ("status", "reason", "message")
_NEWS_OF: dict[str, tuple[str, ...]] = {
    ConditionType.READY: ("status", "reason"),
    ConditionType.PROGRESSING: ("status",),
    ConditionType.RECONCILING: ("status",),
}


def merge_patch(old: Manifest, new: Manifest) -> Manifest:
    """The JSON merge patch (RFC 7386) that turns old into new; {} if they are equal."""
    patch: Manifest = {name: None for name in old if name not in new}
    for name, value in new.items():
        known: Any = old.get(name)
        if isinstance(value, dict) and isinstance(known, dict):
            if inner := merge_patch(cast("Manifest", known), cast("Manifest", value)):
                patch[name] = inner
        elif value != known or name not in old:
            patch[name] = value
    return patch


def conditions_of(status: Manifest) -> dict[str, Manifest]:
    """The conditions by type; whatever else stands there is passed over."""
    listed: Any = status.get("conditions")
    entries = cast("list[Any]", listed) if isinstance(listed, list) else ()
    return {
        entry["type"]: entry for entry in entries if isinstance(entry, dict) and "type" in entry
    }


def beside_others(old: Manifest, new: Manifest) -> Manifest:
    """The new status, which has our conditions, with those of old that are of no type of ours."""
    ours: list[Manifest] = new.get("conditions", [])
    others = [c for kind, c in conditions_of(old).items() if kind not in _OURS]
    if not others:
        return new
    return {**new, "conditions": [*ours, *others[: MOST_CONDITIONS - len(ours)]]}


def transitions(old: Manifest, new: Manifest) -> list[Manifest]:
    """Conditions of new whose status or reason differs from that in old."""
    before = conditions_of(old)
    return [
        condition
        for kind, condition in conditions_of(new).items()
        if _verdict(condition) != _verdict(before.get(kind, {}))
    ]


def is_news(old: Manifest, new: Manifest) -> bool:
    """Do they differ in more than how far something that goes on has come?"""
    return _told(old) != _told(new)


def _told(status: Manifest) -> Manifest:
    told: Manifest = {name: value for name, value in status.items() if name not in _NUMBERS}
    told["conditions"] = {
        kind: [condition.get(name) for name in _NEWS_OF.get(kind, _NEWS)]
        for kind, condition in conditions_of(status).items()
    }
    return told


def _verdict(condition: Manifest) -> tuple[Any, Any]:
    return condition.get("status"), condition.get("reason")
