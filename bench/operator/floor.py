"""The floor: the same children and the same changes with no operator at all.

What the API server, the controllers and the fake nodes need for themselves on this machine now;
nobody can be faster.
"""

import time
from dataclasses import dataclass

from bench.operator import workload
from bench.operator.api import JSON_PATCH, Api, Manifest, all_of
from bench.operator.machine import Machine
from bench.operator.view import Ref, View

_IMAGE_AT = "/spec/template/spec/containers/0/image"


@dataclass(frozen=True)
class Floor:
    """Seconds until all children were there, all Deployments ready, all rollouts complete; until
    all Deployments had another image, and until all of their pods had it.
    """

    children: float
    ready: float
    settled: float
    changed: float = 0.0
    replaced: float = 0.0


@dataclass(frozen=True)
class Bare:
    """What a bare client does; view: of the cluster that it does it on."""

    api: Api
    view: View
    machine: Machine
    resources: int

    async def measure(self, *, changes: bool) -> Floor:
        """Without `changes` only the creation."""
        created = await self._create()
        return Floor(*created, *(await self._change_all() if changes else ()))

    async def _create(self) -> tuple[float, float, float]:
        children = [c for obj in self._services() for c in workload.children(obj)]
        refs = workload.refs(children)
        with self.machine.span("floor: create"):
            begun = time.monotonic()
            await all_of("children", map(self.api.create, children))
            limit = workload.patience(self.resources)
            there = await self.view.until(
                "children", lambda: self.view.there(refs), len(refs), limit
            )
            ready = await self.view.until(
                "ready", lambda: self._count("ready"), self.resources, limit
            )
            settled = await self._settled()
        return there - begun, ready - begun, settled - begun

    async def _change_all(self) -> tuple[float, float]:
        """Users change resources, and the bare client does for each what an operator would."""
        await all_of("resources", map(self.api.create, self._services()))
        with self.machine.span("floor: change all"):
            begun = time.monotonic()
            await all_of("changes", (self._change(ref.name) for ref in self._deployments()))
            changed = await self.view.until(
                "changed",
                lambda: self.view.count(
                    self._deployments(), lambda sight: sight.image == workload.NEXT_IMAGE
                ),
                self.resources,
                workload.patience(self.resources),
            )
            replaced = await self._settled()
        return changed - begun, replaced - begun

    async def _change(self, name: str) -> None:
        wish = workload.with_image(workload.NEXT_IMAGE)
        await self.api.patch("LLMService", workload.NAMESPACE, name, wish)
        patch = [{"op": "replace", "path": _IMAGE_AT, "value": workload.NEXT_IMAGE}]
        await self.api.patch("Deployment", workload.NAMESPACE, name, patch, JSON_PATCH)

    async def _settled(self) -> float:
        limit = workload.patience(self.resources)
        return await self.view.until(
            "settled", lambda: self._count("settled"), self.resources, limit
        )

    def _count(self, what: str) -> int:
        return self.view.count(self._deployments(), lambda sight: getattr(sight, what))

    def _deployments(self) -> list[Ref]:
        return [Ref("Deployment", workload.name(n)) for n in range(self.resources)]

    def _services(self) -> list[Manifest]:
        return [workload.resource(number) for number in range(self.resources)]
