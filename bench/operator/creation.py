"""Resources that come: all at once, and then one after the other."""

import asyncio
import time
from statistics import median, quantiles

from bench.operator import workload
from bench.operator.api import all_of
from bench.operator.figures import Figure, cpu_target, memory_target
from bench.operator.subject import Subject

SINGLE = 9
_APART = 1.0  # seconds


async def create_all(on: Subject) -> list[Figure]:
    wanted = [workload.resource(number) for number in range(on.resources)]
    refs = workload.refs([child for obj in wanted for child in workload.children(obj)])
    before, counted, cpu = await on.written(), await on.asked(), on.operator.cpu()
    with on.machine.span("create all", on.operator.pid):
        begun = time.monotonic()
        await all_of("resources", map(on.create, wanted))
        by_users = time.monotonic()
        children = await on.view.until("children", lambda: on.view.there(refs), len(refs), on.limit)
        ready = await on.ready(on.names)
        settled = await on.settled(on.names)
    used, memory = on.operator.cpu() - cpu, on.operator.memory()
    await on.afterwards()
    written, asked = (await on.written()).since(before), (await on.asked()).since(counted)
    waits = [on.waited(name) for name in on.names]
    number = on.resources
    return [
        Figure("all resources created, by the bench", by_users - begun, "s"),
        on.beside("children", "every child there", children - begun, "97 s, two children each"),
        on.beside("ready", "every status Ready", ready - begun, "146 s"),
        on.beside("settled", "every rollout complete", settled - begun, ""),
        Figure("in the burst: creation to Deployment, median", median(waits), "s"),
        Figure("in the burst: the same, 99 of 100", quantiles(waits, n=100)[98], "s"),
        Figure("writes a child", written.children / len(refs), target=1),
        Figure("statuses a resource", written.statuses / number, target=2),
        Figure("Events a resource", asked.events / number),
        Figure("reads on the hot path", asked.reads, target=0),
        Figure("CPU to converge", used, "s", target=cpu_target(number), rival="9 s"),
        Figure("memory at the peak", memory, "MiB", target=memory_target(number), rival="91 MiB"),
    ]


async def create_one(on: Subject) -> list[Figure]:
    """Several, each created once the one before is ready and the operator has nothing to do."""
    names = [workload.name(on.resources + number) for number in range(SINGLE)]
    with on.machine.span(f"create one, {SINGLE} times", on.operator.pid):
        for number, name in enumerate(names, on.resources):
            await on.create(workload.resource(number))
            await on.ready([name])
            await asyncio.sleep(_APART)
    wait = median(on.waited(name) for name in names)
    return [Figure("one more resource: creation to Deployment", wait, "s", target=2)]
