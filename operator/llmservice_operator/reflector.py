"""One kind's list and watch, for as long as the operator runs.

Promises: after the first complete list `synced` is set; every later state of every object
reaches the sink, though not each state between; what was deleted while no watch ran is reported,
since a new list is compared with what is known; a stream that is cut goes on from its last
resourceVersion, bookmarks included; one that falls silent is cut by us; a right that is missing,
and not for a moment only, is told to the sink, until the next list. Nothing ends it but
cancellation: every failure, and every stream that ends early, is followed by a pause that grows,
with jitter. Never: two lists at once.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from llmservice_operator import backoff, metrics
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.client import UNREADABLE, ApiError, Client, Selection

R = TypeVar("R")
SILENCE = 75.0  # seconds; the API server sends a bookmark each minute
STREAM = 300  # seconds until the server ends a stream by itself, plus up to half of it
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds
_FORBIDDEN, _GONE = 403, 410
_FORBIDDEN_FOR_NOW = 2  # refusals in a row that may come of roles being replaced

log = logging.getLogger(__name__)


class Sink(Protocol[R]):
    """Where records go."""

    def put(self, record: R) -> None: ...
    def remove(self, record: R) -> None: ...
    def replace(self, records: list[R], version: int) -> None: ...
    def refused(self, why: str) -> None: ...


@dataclass
class Reflector(Generic[R]):
    """parse makes of an object the small record that is kept."""

    client: Client
    selection: Selection
    parse: Callable[[Manifest], R]
    sink: Sink[R]
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    heard: float = field(default_factory=time.monotonic)
    """When the last list, event, bookmark or failure came, or the next try is due."""
    refused: bool = False
    _failures: int = 0

    def __str__(self) -> str:
        return f"{self.selection.kind.plural} in {self.selection.namespace or 'all namespaces'}"

    async def run(self) -> None:
        version: int | None = None
        while True:
            began = time.monotonic()
            try:
                if version is None:
                    version = await self._list()
                version = await self._watch(version)
                reason = "ended"
                if time.monotonic() - began < LONGEST_PAUSE:
                    await self._back_off(ApiError(0, "Ended", "the stream ended early"))
            except ApiError as error:
                reason = "expired" if error.code == _GONE else "failed"
                # What cannot be read now cannot be read again either: only a list leads past it.
                lost = error.code in (_FORBIDDEN, _GONE) or error.reason == UNREADABLE
                version = None if lost else version
                if error.code == _FORBIDDEN and self._failures >= _FORBIDDEN_FOR_NOW:
                    self.refused = True
                    self.sink.refused(error.message)
                await self._back_off(error)
            except Exception as error:  # whatever it is, without a watch we would be blind
                log.exception("watch of %s", self.selection.kind.plural)
                reason, version = "failed", None
                await self._back_off(error)
            metrics.watch_restarts.labels(self.selection.kind.name, reason).inc()

    async def _list(self) -> int:
        records, version = await self.client.list(self.selection, self._parsed)
        self.sink.replace(records, version)
        self.synced.set()
        self.heard = time.monotonic()
        self.refused = False
        return version

    async def _watch(self, version: int) -> int:
        """Follow the stream to its end; returns the last resourceVersion seen."""
        seconds = STREAM + random.randrange(STREAM // 2)  # noqa: S311 - spreads the reconnects
        last = version
        try:
            async for event in self.client.watch(self.selection, version, seconds, SILENCE):
                last = self._take(event["type"], event["object"])
        except ApiError as error:
            if error.code or error.reason == UNREADABLE or last == version:
                raise
            log.info("watch of %s was cut: %s", self.selection.kind.plural, error)
        return last

    def _take(self, what: str, obj: Manifest) -> int:
        self.heard = time.monotonic()
        if what == "ERROR":
            raise ApiError(obj.get("code", 500), obj.get("reason", ""), obj.get("message", ""))
        self._failures = 0
        if what != "BOOKMARK" and (record := self._parsed(obj)) is not None:
            if what == "DELETED":
                self.sink.remove(record)
            else:
                self.sink.put(record)
        return int(obj["metadata"]["resourceVersion"])

    def _parsed(self, obj: Manifest) -> R | None:
        try:
            return self.parse(obj)
        except (AttributeError, KeyError, TypeError, ValueError):
            # One object that is not what its kind promises must not blind us to all others.
            log.exception("%s not understood", obj.get("metadata", {}).get("name"))
            return None

    async def _back_off(self, error: Exception) -> None:
        self._failures += 1
        asked = error.retry_after if isinstance(error, ApiError) else 0.0
        seconds = max(asked, backoff.seconds(self._failures, FIRST_PAUSE, LONGEST_PAUSE))
        self.heard = time.monotonic() + seconds
        log.warning("watch of %s: %s; again in %.1f s", self, error, seconds)
        await asyncio.sleep(seconds)
