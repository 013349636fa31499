"""What watches show of the objects that count, and waiting for it. Nothing is polled."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.operator.api import PROGRESS, Api, Manifest, RefusedError
from dev.progress import say

_PAUSE = 0.005  # between two looks: how exact the times are
_AGAIN = 0.1  # between two lists of a kind
_SERVED = 30.0  # until a kind is served


class Ref(NamedTuple):
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Sight:
    """image: of the server. ready: it serves. settled: as its newest generation wants it, too."""

    uid: str
    image: str = ""
    ready: bool = False
    settled: bool = False


class TooLateError(Exception):
    """What should have happened did not, within the time given to it."""


@dataclass
class View:
    """seen: each object as the last event showed it. first: when each name was first there."""

    seen: dict[Ref, Sight] = field(default_factory=dict[Ref, Sight])
    first: dict[Ref, float] = field(default_factory=dict[Ref, float])
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def there(self, refs: Collection[Ref]) -> int:
        return sum(ref in self.seen for ref in refs)

    def count(self, refs: Collection[Ref], test: Callable[[Sight], bool]) -> int:
        """Of these, how many are there and pass the test."""
        return sum(ref in self.seen and test(self.seen[ref]) for ref in refs)

    async def until(self, what: str, have: Callable[[], int], want: int, limit: float) -> float:
        """Return the time once `have` is `want`; TooLateError after so many seconds."""
        begun = said = time.monotonic()
        while True:
            self._changed.clear()
            if (found := have()) >= want:
                return time.monotonic()
            now = time.monotonic()
            if now - begun > limit:
                raise TooLateError(f"{what}: {found} of {want} after {limit:.0f} s")
            if now - said > PROGRESS:
                said = now
                say(f"  {what}: {found} of {want}")
            await asyncio.sleep(_PAUSE)
            try:
                async with asyncio.timeout(PROGRESS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def follow(self, api: Api, kind: str, namespace: str, listed: asyncio.Event) -> None:
        """List and watch, anew each time the watch ends: a kind that is new ends some."""
        while True:
            found = await _listed(api, kind, namespace)
            self._replace(kind, found["items"])
            listed.set()
            async for events in api.watch(kind, namespace, found["metadata"]["resourceVersion"]):
                for event in events:
                    if event["type"] == "ERROR":
                        raise RefusedError(f"the watch of {kind}: {event['object']}")
                    self._put(event, kind)
                self._changed.set()
            await asyncio.sleep(_AGAIN)

    def _replace(self, kind: str, items: list[Manifest]) -> None:
        """What the list lacks was deleted while nobody watched."""
        present = {item["metadata"]["name"] for item in items}
        gone = [r for r in self.seen if r.kind == kind and r.name not in present]
        for ref in gone:
            del self.seen[ref]
        for item in items:
            self._put({"type": "ADDED", "object": item}, kind)
        self._changed.set()

    def _put(self, event: Manifest, kind: str) -> None:
        obj = event["object"]
        ref = Ref(kind, obj["metadata"]["name"])
        if event["type"] == "DELETED":
            self.seen.pop(ref, None)
            return
        self.seen[ref] = sight(obj, kind)
        self.first.setdefault(ref, time.monotonic())


async def _listed(api: Api, kind: str, namespace: str) -> Manifest:
    """A kind that the API server was just told of is not served at once."""
    deadline = time.monotonic() + _SERVED
    while True:
        try:
            return await api.listed(kind, namespace)
        except RefusedError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_AGAIN)


@asynccontextmanager
async def watching(api: Api, namespace: str, kinds: Collection[str]) -> AsyncGenerator[View]:
    """A view of these kinds, each of which is listed once it is given; an error in it ends all."""
    view = View()
    async with asyncio.TaskGroup() as group:
        listed = [asyncio.Event() for _ in kinds]
        tasks = [
            group.create_task(view.follow(api, kind, namespace, event))
            for kind, event in zip(kinds, listed, strict=True)
        ]
        for event in listed:
            await event.wait()
        yield view
        for task in tasks:
            task.cancel()


def sight(obj: Manifest, kind: str) -> Sight:
    meta: Manifest = obj["metadata"]
    spec: Manifest = obj.get("spec") or {}
    status: Manifest = obj.get("status") or {}
    uid, generation = meta["uid"], meta.get("generation", 0)
    if kind == "Deployment":
        image = spec["template"]["spec"]["containers"][0]["image"]
        wanted, fresh = spec["replicas"], status.get("observedGeneration", 0) >= generation
        counts = {status.get(f"{which}Replicas", 0) for which in ("ready", "updated", "available")}
        settled = fresh and counts == {wanted} and status.get("replicas") == wanted
        return Sight(uid, image, ready=status.get("readyReplicas") == wanted, settled=settled)
    if kind == "LLMService":
        conditions: list[Manifest] = status.get("conditions", [])
        true = {
            condition["type"]: condition["status"]
            for condition in conditions
            if condition.get("observedGeneration") == generation
        }
        ready = true.get("Ready") == "True"
        settled = ready and true.get("Progressing") == "False"
        return Sight(uid, spec.get("engine", {}).get("image", ""), ready=ready, settled=settled)
    return Sight(uid)
