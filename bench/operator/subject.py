"""What is measured: the operator among so many resources, and how to act on it and look at it."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmservice_operator.report import PROGRESS

from bench.operator import samples, workload
from bench.operator.api import Api, Manifest
from bench.operator.figures import Figure
from bench.operator.floor import Floor
from bench.operator.machine import Machine
from bench.operator.process import Operator
from bench.operator.samples import Asked, Written
from bench.operator.view import Ref, TooLateError, View

_OF_THE_FLOOR = 1.5  # at most so many times as long
_STILL = PROGRESS + 5.0  # seconds; autoscalers look every 15 seconds, too
AFTERWARDS = 3.0  # seconds in which a request too many would come


@dataclass
class Subject:
    """sent: when each resource's creation began. Times are those of watch events, from right before
    the first request of a scenario.
    """

    api: Api
    view: View
    operator: Operator
    machine: Machine
    floor: Floor | None
    resources: int
    sent: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def limit(self) -> float:
        return workload.patience(self.resources)

    @property
    def names(self) -> list[str]:
        return [workload.name(number) for number in range(self.resources)]

    async def create(self, resource: Manifest) -> None:
        self.sent[resource["metadata"]["name"]] = time.monotonic()
        await self.api.create(resource)

    def waited(self, name: str) -> float:
        """Seconds from a resource's creation to its Deployment."""
        return self.view.first[Ref("Deployment", name)] - self.sent[name]

    def set_image(self, name: str, image: str) -> Coroutine[Any, Any, None]:
        return self.api.patch("LLMService", workload.NAMESPACE, name, workload.with_image(image))

    def delete_deployment(self, name: str) -> Coroutine[Any, Any, None]:
        return self.api.delete("Deployment", workload.NAMESPACE, name)

    async def changed(self, names: Sequence[str], image: str) -> float:
        """The time when these Deployments have the image."""
        refs = deployments(names)
        return await self.view.until(
            "changed",
            lambda: self.view.count(refs, lambda sight: sight.image == image),
            len(refs),
            self.limit,
        )

    async def ready(self, names: Sequence[str]) -> float:
        """The time when these resources' statuses say Ready."""
        refs = services(names)
        return await self.view.until(
            "ready", lambda: self.view.count(refs, lambda s: s.ready), len(refs), self.limit
        )

    async def settled(self, names: Sequence[str]) -> float:
        """All pods are of the newest template and serve, and the statuses say so."""
        refs = [*deployments(names), *services(names)]
        return await self.view.until(
            "settled", lambda: self.view.count(refs, lambda s: s.settled), len(refs), self.limit
        )

    async def written(self) -> Written:
        return samples.written(await self.api.metrics())

    async def asked(self) -> Asked:
        return samples.asked(await self.operator.metrics())

    async def still(self) -> None:
        """Return once the operator has written nothing for longer than it puts anything off."""
        deadline, before = time.monotonic() + self.limit, -1
        while before != (before := (await self.asked()).all_but_leases):
            if time.monotonic() > deadline:
                raise TooLateError(f"the operator writes on and on after {self.limit:.0f} s")
            await asyncio.sleep(_STILL)

    async def afterwards(self) -> None:
        await asyncio.sleep(AFTERWARDS)

    def beside(self, floor: str, what: str, seconds: float, rival: str) -> Figure:
        """A figure whose target is a ratio to that field of the floor."""
        if self.floor is None:
            return Figure(what, seconds, "s", rival=rival)
        least = getattr(self.floor, floor)
        return Figure(what, seconds, "s", floor=least, target=_OF_THE_FLOOR, rival=rival)


def deployments(names: Sequence[str]) -> list[Ref]:
    return [Ref("Deployment", name) for name in names]


def services(names: Sequence[str]) -> list[Ref]:
    return [Ref("LLMService", name) for name in names]
