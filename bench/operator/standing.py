"""Nothing happens to our resources: a quiet time, a restart, and other people's nodes and pods."""

import asyncio
import time

from bench.operator import samples, workload
from bench.operator.api import all_of
from bench.operator.creation import SINGLE
from bench.operator.figures import Figure
from bench.operator.subject import Subject
from dev.progress import say

_IDLE = 2.0  # seconds without work after which a process is idle
# Fake nodes have no metrics, and the status of a resource with an autoscaler says so two minutes
# after it was Ready: news, not noise, so the quiet time begins after it.
_NEWS = 180.0


async def stay_quiet(on: Subject, seconds: float) -> list[Figure]:
    say(f"quiet: begins {_NEWS:.0f} s after the last creation, and takes {seconds:.0f} s …")
    await asyncio.sleep(max(on.sent.values()) + _NEWS - time.monotonic())
    counted, before = await on.asked(), await on.written()
    cpu, begun = on.operator.cpu(), time.monotonic()
    with on.machine.span("quiet", on.operator.pid):
        await asyncio.sleep(seconds)
    share = (on.operator.cpu() - cpu) / (time.monotonic() - begun)
    written, asked = (await on.written()).since(before), (await on.asked()).since(counted)
    writes = max(sum(written), asked.writes + asked.events)
    every = seconds / asked.leases if asked.leases else None
    return [
        Figure(f"quiet for {seconds:.0f} s: writes but the lease", writes, target=0, rival="0"),
        Figure("quiet: seconds between two writes of the lease", every, "s"),
        Figure("quiet: CPU of a core", 100 * share, "%", target=1, below=True),
    ]


async def restart(on: Subject) -> list[Figure]:
    await on.still()
    before, peak = await on.written(), on.operator.memory()
    stopped = on.operator.stop()
    idle = await _start(on, "start with nothing to do")
    await on.afterwards()
    writes = sum((await on.written()).since(before))
    metrics = await on.operator.metrics()
    asked = samples.asked(metrics)
    rounds = samples.samples(metrics, "controller_runtime_reconcile_total")
    looked_at = sum(value for _, value in rounds) / (on.resources + SINGLE)
    return [
        Figure("memory at the peak, all of the above", peak, "MiB"),
        Figure("SIGTERM to the end of the process", stopped, "s", target=2, below=True),
        Figure("restart: writes", max(writes, asked.writes + asked.events), target=0, rival="0"),
        Figure("restart: idle after", idle, "s", target=3, rival="42 s"),
        Figure("restart: reconciles a resource", looked_at),
        Figure("restart: CPU", on.operator.cpu(), "s"),
        Figure("restart: memory at the peak", on.operator.memory(), "MiB"),
    ]


async def among_others(on: Subject) -> list[Figure]:
    """The memory that they add: while they come, and where they are there at a start."""
    alone = on.operator.memory()
    with on.machine.span("others' nodes and pods", on.operator.pid):
        await on.api.create(workload.namespace(workload.FOREIGN))
        nodes, pods = range(workload.FOREIGN_NODES), range(workload.FOREIGN_PODS)
        await all_of("nodes", (on.api.create(workload.foreign_node(n)) for n in nodes))
        await all_of("pods", (on.api.create(workload.foreign_pod(n)) for n in pods))
    meanwhile = on.operator.memory()
    on.operator.stop()
    idle = await _start(on, "start among others")
    whose = f"{workload.FOREIGN_NODES} nodes, {workload.FOREIGN_PODS} pods of others"
    added = on.operator.memory() - alone
    return [
        Figure(f"{whose}: memory added as they come", meanwhile - alone, "MiB"),
        Figure(f"{whose}: memory added at a start", added, "MiB", target=60),
        Figure(f"{whose}: start, idle after", idle, "s"),
    ]


async def _start(on: Subject, name: str) -> float:
    """The seconds until it had nothing to do any more."""
    begun = time.monotonic()
    on.operator.spawn()
    with on.machine.span(name, on.operator.pid):
        idle = await on.operator.idle(_IDLE, on.limit)
        await on.operator.leads()
    return idle - begun
