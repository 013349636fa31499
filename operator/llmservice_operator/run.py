"""One operator process from its start to its end: who is made of what, and who stops first.

Promises: SIGTERM ends it within about two seconds, with the Lease given up after the last write,
and one more where a collector keeps its spans waiting;
a task that dies ends the process, so that the kubelet starts a whole one.
"""

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Iterable
from typing import Any

from prometheus_client import REGISTRY

from llmservice_operator import endpoints, health, logs, metrics, spans
from llmservice_operator.apply import Writer
from llmservice_operator.client import ApiError, Client
from llmservice_operator.connection import connect
from llmservice_operator.controller import Controller
from llmservice_operator.desired import Desired
from llmservice_operator.events import Recorder
from llmservice_operator.leader import Leader, monotonic
from llmservice_operator.loading import Inquiry
from llmservice_operator.places import Places
from llmservice_operator.prerequisites import Prerequisites
from llmservice_operator.queue import Queue
from llmservice_operator.records import Key
from llmservice_operator.render import RenderDefaults
from llmservice_operator.report import Reporter
from llmservice_operator.settings import Settings
from llmservice_operator.store import Store
from llmservice_operator.watch import Changed, Watch

# The API server takes JSON of 10,000 levels (sigs.k8s.io/json). Under Python's own limit of 1,000
# one such object would hide all others, since a list is decoded as a whole. The decoder's stack is
# some 200 bytes a level (CPython 3.11; from 3.12 on C has a limit of its own, of 10,000 as well).
RECURSION = 20_000
_KEPT = 8  # one worker in so many is never with the namespace that has most of them
_WRITERS = ("worker", "lead", "events", "lease")
GARBAGE = 10_000  # objects more than before, until the youngest are looked through for cycles
GRACE = 1.0  # seconds for the requests under way, and as many for the Lease

log = logging.getLogger(__name__)


async def run(settings: Settings) -> int:
    """Until a signal (returns 0) or until a task dies (returns 1)."""
    logs.configure(settings.log_level)
    sys.setrecursionlimit(RECURSION)
    gc.set_threshold(GARBAGE, 20, 20)
    stop = asyncio.Event()

    def on_signals() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)

    on_signals()
    leader = Leader(settings.lease_namespace, settings.lease_name, settings.identity, monotonic)
    told = spans.from_environment()
    client = Client(
        connect(),
        leader.check,
        per_second=settings.requests_per_second,
        traces=told.requests,
    )
    store = Store()
    queue = Queue[Key](lambda key: key.namespace, settings.workers - settings.workers // _KEPT)
    changed = _while_leading(leader, queue)
    places = Places(store, changed, sees_nodes=not settings.namespaces)
    inquiry = Inquiry(store, leader.leads, changed)
    watch = Watch(client, settings.namespaces, store, changed, on_signals)
    recorder = Recorder(client, settings.identity)
    controller = Controller(
        store,
        queue,
        leader,
        Prerequisites(client),
        Writer(client, store),
        places,
        inquiry,
        Reporter(client, store, recorder),
        Desired(RenderDefaults(settings.server_image, settings.proxy_image, settings.redis_image)),
        told,
    )
    metrics.workers.set(settings.workers)
    REGISTRY.register(metrics.Conditions(lambda: store.statuses() if leader.leads() else ()))
    http = await endpoints.serve(
        settings.http_port, watch.synced, lambda: health.faults(queue.held(), watch.silent())
    )

    async def work() -> None:
        await watch.wait_synced()
        await controller.work()

    async def lead() -> None:
        await watch.wait_synced()
        _spare_the_collector()
        log.info("the first lists are complete: %d LLMServices", len(store.everyone()))
        await controller.lead()

    tasks = {
        name: asyncio.create_task(job, name=name)
        for name, job in (
            ("watch", watch.run()),
            ("places", places.run()),
            ("inquiry", inquiry.run()),
            ("lease", leader.run(client)),
            ("lead", lead()),
            ("events", recorder.run()),
            *((f"worker {number}", work()) for number in range(settings.workers)),
        )
    }
    stopping = asyncio.create_task(stop.wait(), name="signal")
    try:
        done, _ = await asyncio.wait(
            {stopping, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done - {stopping}:
            log.error("%s ended", task.get_name(), exc_info=task.exception())
        # Writers first, the Lease after the last write, the watches last. A reconcile that is left
        # half done is finished by whoever leads next.
        leader.resign()
        await controller.drain(GRACE)
        await _end(tasks[name] for name in tasks if name.startswith(_WRITERS))
        try:
            await asyncio.wait_for(leader.release(client), GRACE)
        except (ApiError, TimeoutError) as error:
            log.warning("the lease was not given up: %s", error or "no answer in time")
        return 0 if stopping in done else 1
    finally:
        with contextlib.suppress(TimeoutError):  # kopf may take its time
            await asyncio.wait_for(_end([*tasks.values(), stopping]), GRACE)
        await http.cleanup()
        await client.close()
        await told.stop()


def _while_leading(leader: Leader, queue: Queue[Key]) -> Changed:
    """While another leads nothing empties the queue, and nothing fills it; then lead() does."""

    def changed(key: Key, within: float = 0.0) -> None:
        if leader.elected.is_set():
            queue.add_after(key, within) if within else queue.add(key)

    return changed


def _spare_the_collector() -> None:
    """What a list brought lives long and is free of cycles: looking through it again and again for
    garbage costs a tenth of the CPU.
    """
    gc.collect()
    gc.freeze()


async def _end(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    ending = [task for task in tasks if task.cancel() or not task.done()]
    await asyncio.gather(*ending, return_exceptions=True)
