"""Kubernetes Events for what changed, as `kubectl describe` shows them.

One for each change of Ready or Degraded, none for what stays. Best effort: an Event that cannot
be sent is logged and forgotten, because the condition says it all.
"""

import logging
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from llmservice_operator.api.conditions import ConditionType
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.client import ApiError, Client
from llmservice_operator.kinds import EVENT, LLM_SERVICE
from llmservice_operator.records import FIELD_MANAGER, Resource

_LONGEST_NOTE = 1024  # bytes that the API server takes

log = logging.getLogger(__name__)


class Recorder:
    def __init__(self, client: Client, identity: str) -> None:
        self._client, self._identity = client, identity

    async def announce(self, resource: Resource, changed: Sequence[Manifest]) -> None:
        first = not resource.status.get("conditions")
        for condition in changed:
            if kind := _worth(condition, first=first):
                try:
                    await self._client.create(EVENT, self._event(resource, condition, kind))
                except ApiError as error:
                    log.warning("event %s not sent: %s", condition["reason"], error)

    def _event(self, resource: Resource, condition: Manifest, kind: str) -> Manifest:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        namespace, name = resource.key
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.name,
            "metadata": {"name": f"{name}.{secrets.token_hex(8)}", "namespace": namespace},
            "eventTime": now,
            "reportingController": FIELD_MANAGER,
            "reportingInstance": self._identity,
            "action": "Reconcile",
            "type": kind,
            "reason": condition["reason"],
            "note": condition["message"].encode()[:_LONGEST_NOTE].decode(errors="ignore"),
            "regarding": {
                "apiVersion": LLM_SERVICE.api_version,
                "kind": LLM_SERVICE.name,
                "namespace": namespace,
                "name": name,
                "uid": resource.uid,
            },
        }


def _worth(condition: Manifest, *, first: bool) -> str | None:
    """The type of Event for a condition that changed; None where it is no news."""
    good = (condition["type"] == ConditionType.READY) == (condition["status"] == "True")
    if condition["type"] == ConditionType.READY:
        # That a new resource is not ready yet is no news.
        return "Normal" if good else (None if first else "Warning")
    if condition["type"] == ConditionType.DEGRADED:
        return "Warning" if not good else (None if first else "Normal")
    return None
