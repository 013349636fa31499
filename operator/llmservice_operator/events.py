"""Kubernetes Events for what changed, as `kubectl describe` shows them.

One for each change of Ready or Degraded, or of both for one reason; none for what stays. The same
one again within SERIES seconds is no new Event but counts the first one up, which is sent once in
EACH seconds at most. Best effort: an Event that cannot be sent, or has waited behind MOST others,
is forgotten, because the condition says it all. Never: a worker that waits for one, or more than
MOST of them kept.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from llmservice_operator.api.conditions import ConditionType
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.client import ApiError, Client
from llmservice_operator.kinds import EVENT, LLM_SERVICE
from llmservice_operator.leader import NotLeadingError
from llmservice_operator.records import FIELD_MANAGER, Key, Resource

SERIES, EACH, MOST = 360.0, 60.0, 2000
_LONGEST_NOTE = 1024  # bytes that the API server takes

log = logging.getLogger(__name__)

_Kind = tuple[str, str, str]  # uid of the resource, type, reason


@dataclass(slots=True)
class _Series:
    """event: the first one, until it is sent. times: how often it came; told: of how many the API
    server knows, since when. seen: when it came last, by our clock and in words.
    """

    key: Key
    name: str
    event: Manifest | None
    seen: float
    seen_words: str
    times: int = 1
    told: int = 0
    told_at: float = float("-inf")


class Recorder:
    def __init__(
        self, client: Client, identity: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._identity, self._clock = client, identity, clock
        self._series: dict[_Kind, _Series] = {}  # the one that came last is the last
        self._due: dict[_Kind, float] = {}  # when what is not told of it may be
        self._news = asyncio.Event()

    def announce(self, resource: Resource, changed: Sequence[Manifest]) -> None:
        """Have them sent soon."""
        first = not resource.status.get("conditions")
        worth = [(c, kind) for c in changed if (kind := _worth(c, first=first))]
        # Of two for one reason the later one, Degraded, says all.
        for condition, kind in {c["reason"]: (c, kind) for c, kind in worth}.values():
            self._add((resource.uid, kind, condition["reason"]), resource, condition)

    async def run(self) -> None:
        """Send what is due, for as long as the operator runs."""
        while True:
            self._news.clear()
            wait = await self.send()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._news.wait()

    async def send(self) -> float | None:
        """What is due, one after the other; the seconds until something is, None for never."""
        while self._due:
            kind = min(self._due, key=self._due.__getitem__)
            if (wait := self._due[kind] - self._clock()) > 0:
                return wait
            del self._due[kind]
            try:
                await self._send(kind, self._series[kind])
            except (ApiError, NotLeadingError) as error:
                self._series.pop(kind, None)
                self._due.pop(kind, None)  # it may have come again meanwhile
                log.warning("event %s not sent: %s", kind[2], error)
        return None

    def _add(self, kind: _Kind, resource: Resource, condition: Manifest) -> None:
        now, words = self._clock(), _now()
        series = self._series.pop(kind, None)
        if series is None or now - series.seen >= SERIES:
            name = f"{resource.key.name}.{secrets.token_hex(8)}"
            event = self._event(name, resource, condition, kind[1], words)
            series = _Series(resource.key, name, event, now, words)
        else:
            series.times, series.seen, series.seen_words = series.times + 1, now, words
        self._series[kind] = series
        self._due.setdefault(kind, series.told_at + EACH)
        if len(self._series) > MOST:
            oldest = next(iter(self._series))
            del self._series[oldest]
            self._due.pop(oldest, None)
        self._news.set()

    async def _send(self, kind: _Kind, series: _Series) -> None:
        series.told_at = self._clock()
        if series.event is not None:
            event, series.event, series.told = series.event, None, 1
            await self._client.create(EVENT, event)
        else:
            series.told = series.times
            counted = {"count": series.times, "lastObservedTime": series.seen_words}
            namespace = series.key.namespace
            await self._client.merge(EVENT, namespace, series.name, {"series": counted})
        if series.times > series.told and self._series.get(kind) is series:
            self._due[kind] = series.told_at + EACH

    def _event(
        self, name: str, resource: Resource, condition: Manifest, kind: str, now: str
    ) -> Manifest:
        namespace, owner = resource.key
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.name,
            "metadata": {"name": name, "namespace": namespace},
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
                "name": owner,
                "uid": resource.uid,
            },
        }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _worth(condition: Manifest, *, first: bool) -> str | None:
    """The type of Event for a condition that changed; None where it is no news."""
    good = (condition["type"] == ConditionType.READY) == (condition["status"] == "True")
    if condition["type"] == ConditionType.READY:
        # That a new resource is not ready yet is no news.
        return "Normal" if good else (None if first else "Warning")
    if condition["type"] == ConditionType.DEGRADED:
        return "Warning" if not good else (None if first else "Normal")
    return None
