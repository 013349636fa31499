"""What an LLMService whose pods wait for a node is told of the nodes, and when it is told anew.

Nodes and other people's pods change all the time in a busy cluster. Promises: only resources whose
pods wait hear of it, at once (within PAUSE) where a node more or less could hold a replica or a
replica fits, within FRESH seconds where only numbers differ; looking takes at most a twentieth of
a core, however many wait and however much changes. Never: a request.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from llmservice_operator import placement
from llmservice_operator.api import LLMService
from llmservice_operator.api.gpu import Gpu
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.placement import Demand, PlacementReport
from llmservice_operator.records import Key
from llmservice_operator.store import Store

PAUSE = 1.0  # seconds between two looks
FRESH = 60.0  # seconds that a number may be old
_SHARE = 20  # a look that took a second is followed by twenty without
_MOST_FOUND = 1000
_LEFT_OUT = "which nodes could hold a replica is not told: "
_NAMESPACED = f"{_LEFT_OUT}this operator is limited to single namespaces and may not see nodes"
_UNKNOWN = f"{_LEFT_OUT}the operator has not been able to list the nodes yet; its log says why"


@dataclass(frozen=True, slots=True)
class _Told:
    asked: Demand
    gpu: Gpu | None
    report: PlacementReport
    at: float


class Places:
    def __init__(self, store: Store, changed: Callable[[Key], None], *, sees_nodes: bool) -> None:
        """changed is called with each key that is to be told something else."""
        store.on_moved = self._look_soon
        self._store, self._changed, self._sees_nodes = store, changed, sees_nodes
        self._told: dict[Key, _Told] = {}
        self._found: dict[str, PlacementReport] = {}  # since the last look, by what is asked for
        self._moved = asyncio.Event()

    def _look_soon(self) -> None:
        self._moved.set()

    def status(self, key: Key, service: LLMService) -> Manifest:
        """status.placement of one whose pods wait."""
        asked, gpu, now = placement.demand(service), service.spec.gpu, time.monotonic()
        told, report = self._told.get(key), self._find(asked, gpu)
        if told is None or told.asked != asked or _is_news(told, report, now):
            told = self._told[key] = _Told(asked, gpu, report, now)
        report = told.report
        found = {"fittingNodes": report.fits, "roomFor": report.room, "message": report.message}
        return {name: value for name, value in found.items() if value is not None}

    async def run(self) -> None:
        """Look, for as long as the operator runs."""
        old_at: float | None = None  # when the first number becomes older than it may be
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(old_at):
                    await self._moved.wait()
            self._moved.clear()
            old_at, spent = await self._look()
            await asyncio.sleep(max(PAUSE, _SHARE * spent))

    async def _look(self) -> tuple[float | None, float]:
        """When to look again though nothing moved, and the seconds that this took."""
        self._found.clear()
        waiting = self._store.waiting_for_nodes()
        self._told = {key: told for key, told in self._told.items() if key in waiting}
        old_at, spent = None, 0.0
        for key, told in list(self._told.items()):
            now = time.monotonic()
            found = self._find(told.asked, told.gpu)
            if _is_news(told, found, now):
                self._told[key] = _Told(told.asked, told.gpu, found, now)  # told once, not again
                self._changed(key)
            elif found != told.report:
                old_at = min(old_at or now + FRESH, told.at + FRESH)
            spent += time.monotonic() - now
            await asyncio.sleep(0)  # others have the loop between any two
        return old_at, spent

    def _find(self, asked: Demand, gpu: Gpu | None) -> PlacementReport:
        """Looks at the nodes once for all that ask for the same."""
        store = self._store
        if not self._sees_nodes or not store.knows_nodes:
            why = _UNKNOWN if self._sees_nodes else _NAMESPACED
            return PlacementReport(None, None, frozenset(), why)
        name = repr((asked, gpu))
        if name not in self._found:
            if len(self._found) >= _MOST_FOUND:
                self._found.clear()
            taken = store.taken if store.knows_foreign else None
            self._found[name] = placement.report(asked, gpu, store.nodes(), taken)
        return self._found[name]


def _is_news(told: _Told, found: PlacementReport, now: float) -> bool:
    old = now >= told.at + FRESH
    return found.news != told.report.news or (old and found != told.report)
