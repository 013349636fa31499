"""What the operator is put through, one scenario after the other; each gives figures.

The resources of the first stay for the others. Times are those of watch events, from the moment
before the first request of the scenario was sent.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from bench.operator import samples, workload
from bench.operator.api import Api, all_of
from bench.operator.figures import Figure, cpu_target, memory_target
from bench.operator.floor import Floor
from bench.operator.machine import Machine
from bench.operator.process import Operator
from bench.operator.view import Ref, View

SINGLE, EDITS, DELETED = 9, 5, 50
_AFTERWARDS = 3.0  # seconds in which a write too many would come
_IDLE = 2.0  # seconds without work after which a process is idle


@dataclass
class Scenarios:
    """limit: seconds that any one wait may take."""

    api: Api
    view: View
    operator: Operator
    machine: Machine
    floor: Floor | None
    resources: int
    limit: float

    async def create_all(self) -> list[Figure]:
        names = [workload.name(n) for n in range(self.resources)]
        wanted = [workload.resource(n) for n in range(self.resources)]
        refs = workload.refs([m for obj in wanted for m in workload.children(obj)])
        services = [Ref("LLMService", name) for name in names]
        sent: dict[str, float] = {}
        before, counted = await self._written(), await self.operator.requests()
        with self.machine.span("create all", self.operator.pid):
            begun = time.monotonic()
            await all_of(self._create(obj, sent) for obj in wanted)
            by_users = time.monotonic() - begun
            children = await self.view.until(
                "children", lambda: self.view.there(refs), len(refs), self.limit
            )
            ready = await self.view.until(
                "ready", lambda: self._are(services, "ready"), len(services), self.limit
            )
            settled = await self.view.until(
                "settled", lambda: self._are(services, "settled"), len(services), self.limit
            )
        used, memory = self.operator.cpu(), self.operator.memory()
        await asyncio.sleep(_AFTERWARDS)
        written = (await self._written()).since(before)
        asked = await self.operator.requests() - counted
        waits = [self.view.first[Ref("Deployment", name)] - sent[name] for name in names]
        return [
            Figure("all resources created, by the bench", by_users, "s"),
            self._against("children", "every child there", children - begun, "97 s, two children each"),
            self._against("ready", "every status Ready", ready - begun, "146 s"),
            Figure("nothing under way any more", settled - begun, "s"),
            Figure("in the burst, creation to Deployment, median", median(waits), "s"),
            Figure("the same, 99 of 100", quantiles(waits, n=100)[98], "s"),
            Figure("writes a child", written.children / len(refs), target=1),
            Figure("statuses a resource", written.statuses / self.resources, target=2),
            Figure("Events a resource", asked["write Event"] / self.resources),
            Figure("reads on the hot path", _reads(asked), target=0),
            Figure(
                "the operator's CPU to converge",
                used,
                "s",
                target=cpu_target(self.resources),
                rival="9 s",
            ),
            Figure(
                "its memory at the peak",
                memory,
                "MiB",
                target=memory_target(self.resources),
                rival="91 MiB",
            ),
        ]

    async def create_one(self) -> list[Figure]:
        """One after the other, each with the operator idle."""
        waits: list[float] = []
        with self.machine.span(f"create one, {SINGLE} times", self.operator.pid):
            for number in range(self.resources, self.resources + SINGLE):
                ref = Ref("Deployment", workload.name(number))
                service = Ref("LLMService", workload.name(number))
                sent: dict[str, float] = {}
                await self._create(workload.resource(number), sent)
                await self._settled([service])
                waits.append(self.view.first[ref] - sent[ref.name])
        what = "one more resource, creation to Deployment"
        return [Figure(what, median(waits), "s", target=2)]

    async def stay_quiet(self, seconds: float) -> list[Figure]:
        counted, before = await self.operator.requests(), await self._written()
        cpu, begun = self.operator.cpu(), time.monotonic()
        with self.machine.span("quiet", self.operator.pid):
            await asyncio.sleep(seconds)
        share = (self.operator.cpu() - cpu) / (time.monotonic() - begun)
        written = (await self._written()).since(before)
        asked = await self.operator.requests() - counted
        writes = max(sum(written), _writes(asked))
        leases = asked["write Lease"]
        every = seconds / leases if leases else None
        return [
            Figure(f"quiet {seconds:.0f} s: writes but the lease", writes, target=0, rival="0"),
            Figure("quiet: seconds between two writes of the lease", every, "s"),
            Figure("quiet: CPU of a core", 100 * share, "%", target=1, below=True),
        ]

    async def edit_one(self) -> list[Figure]:
        """Another image on one resource; the median of several."""
        changed: list[float] = []
        settled: list[float] = []
        asked: list[float] = []
        with self.machine.span(f"edit one, {EDITS} times", self.operator.pid):
            for number in range(EDITS):
                ref, image = Ref("Deployment", workload.name(number)), f"{workload.IMAGE}-{number}"
                counted, begun = await self.operator.requests(), time.monotonic()
                await self._set_image(ref.name, image)
                at = await self.view.until(
                    "changed", lambda r=ref, i=image: self._have(r, i), 1, self.limit
                )
                changed.append(at - begun)
                at = await self._settled([ref, Ref("LLMService", ref.name)])
                settled.append(at - begun)
                await asyncio.sleep(_AFTERWARDS)
                asked.append(_but_the_lease(await self.operator.requests() - counted))
        return [
            Figure(
                "one edit: Deployment changed", median(changed), "s", target=0.1, rival="0.04 s"
            ),
            Figure("one edit: settled", median(settled), "s", rival="0.28 s"),
            Figure("one edit: requests until settled", median(asked), target=3, rival="11"),
        ]

    async def change_all(self) -> list[Figure]:
        names = [workload.name(n) for n in range(self.resources)]
        deployments = [Ref("Deployment", name) for name in names]
        services = [Ref("LLMService", name) for name in names]
        with self.machine.span("change all", self.operator.pid):
            begun = time.monotonic()
            await all_of(self._set_image(name, workload.NEXT_IMAGE) for name in names)
            changed = await self.view.until(
                "changed",
                lambda: self.view.count(deployments, lambda d: d.image == workload.NEXT_IMAGE),
                self.resources,
                self.limit,
            )
            settled = await self._settled([*deployments, *services])
        return [
            self._against("changed", "all changed: every Deployment", changed - begun, "144 s"),
            self._against("replaced", "all changed: settled", settled - begun, "162 s"),
        ]

    async def delete_some(self) -> list[Figure]:
        number = min(DELETED, self.resources)
        refs = [Ref("Deployment", workload.name(n)) for n in range(number)]
        before = {ref: self.view.seen[ref].uid for ref in refs}

        def back() -> int:
            return sum(
                ref in self.view.seen and self.view.seen[ref].uid != uid
                for ref, uid in before.items()
            )

        with self.machine.span(f"delete {number} Deployments", self.operator.pid):
            begun = time.monotonic()
            await all_of(self.api.delete(*_at(ref)) for ref in refs)
            deleted = time.monotonic() - begun
            last = await self.view.until("back", back, number, self.limit)
            settled = await self._settled([*refs, *(Ref("LLMService", r.name) for r in refs)])
        return [
            Figure(f"{number} Deployments deleted, by the bench", deleted, "s"),
            Figure("deleted: the last one back", last - begun, "s", target=1, rival="12.8 s"),
            Figure("deleted: settled", settled - begun, "s", rival="47 s"),
        ]

    async def restart(self) -> list[Figure]:
        before, peak = await self._written(), self.operator.memory()
        with self.machine.span("stop"):
            stopped = self.operator.stop()
        begun = time.monotonic()
        self.operator.spawn()
        with self.machine.span("start with nothing to do", self.operator.pid):
            idle = await self.operator.idle(_IDLE, self.limit) - begun
            await self.operator.leads()
            await asyncio.sleep(_AFTERWARDS)
        writes = sum((await self._written()).since(before))
        writes = max(writes, _writes(await self.operator.requests()))
        done = samples.samples(await self.operator.metrics(), "controller_runtime_reconcile_total")
        looked_at = min(1.0, sum(value for _, value in done) / (self.resources + SINGLE))
        return [
            Figure("memory at the peak of it all", peak, "MiB"),
            Figure("SIGTERM to the end of the process", stopped, "s", target=2, below=True),
            Figure("restart: writes", writes, target=0, rival="0"),
            Figure("restart: resources looked at", 100 * looked_at, "%"),
            Figure("restart: idle after", idle, "s", target=3, rival="42 s"),
            Figure("restart: CPU", self.operator.cpu(), "s"),
            Figure("restart: memory at the peak", self.operator.memory(), "MiB"),
        ]

    async def among_others(self) -> list[Figure]:
        """Nodes and pods that are not ours, and a restart among them."""
        alone = self.operator.memory()
        numbers = range(workload.FOREIGN_PODS)
        with self.machine.span("others' nodes and pods", self.operator.pid):
            await self.api.create(workload.namespace(workload.FOREIGN))
            nodes = range(workload.FOREIGN_NODES)
            await all_of(self.api.create(workload.foreign_node(n)) for n in nodes)
            await all_of(self.api.create(workload.foreign_pod(n)) for n in numbers)
        meanwhile = self.operator.memory()
        self.operator.stop()
        self.operator.spawn()
        with self.machine.span("start among them", self.operator.pid):
            begun = time.monotonic()
            idle = await self.operator.idle(_IDLE, self.limit) - begun
            await self.operator.leads()
        return [
            Figure("others' nodes and pods: memory added while they come", meanwhile - alone, "MiB"),
            Figure(
                "others' nodes and pods: memory added at a start",
                self.operator.memory() - alone,
                "MiB",
                target=60,
            ),
            Figure("others' nodes and pods: start, idle after", idle, "s"),
        ]

    async def _create(self, obj: dict[str, Any], sent: dict[str, float]) -> None:
        sent[obj["metadata"]["name"]] = time.monotonic()
        await self.api.create(obj)

    def _set_image(self, name: str, image: str) -> Coroutine[Any, Any, None]:
        patch = {"spec": {"engine": {"image": image}}}
        return self.api.patch("LLMService", workload.NAMESPACE, name, patch)

    def _have(self, ref: Ref, image: str) -> int:
        return self.view.count([ref], lambda sight: sight.image == image)

    def _are(self, refs: list[Ref], what: str) -> int:
        return self.view.count(refs, lambda sight: getattr(sight, what))

    async def _settled(self, refs: list[Ref]) -> float:
        """All pods are of the newest template and serve, and the statuses say so."""
        have: Callable[[], int] = lambda: self._are(refs, "settled")  # noqa: E731
        return await self.view.until("settled", have, len(refs), self.limit)

    def _against(self, floor: str, what: str, seconds: float, rival: str) -> Figure:
        if self.floor is None:
            return Figure(what, seconds, "s", rival=rival)
        least = getattr(self.floor, floor)
        return Figure(what, seconds, "s", floor=least, target=1.5, rival=rival)

    async def _written(self) -> samples.Written:
        return samples.written(await self.api.metrics())


def _at(ref: Ref) -> tuple[str, str, str]:
    return ref.kind, workload.NAMESPACE, ref.name


def _but_the_lease(asked: Counter[str]) -> int:
    return sum(number for what, number in asked.items() if not what.endswith(" Lease"))


def _writes(asked: Counter[str]) -> int:
    return sum(n for what, n in asked.items() if what.startswith("write ") and "Lease" not in what)


def _reads(asked: Counter[str]) -> int:
    return sum(n for what, n in asked.items() if what.startswith("read ") and "Lease" not in what)
