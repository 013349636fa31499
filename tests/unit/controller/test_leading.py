"""A key is lost to no change of who leads, not even to one that did not take place."""

import asyncio
import json
from typing import Any, cast

import pytest
from llmservice_operator import records
from llmservice_operator.api import Manifest
from llmservice_operator.apply import Writer
from llmservice_operator.client import ApiError, Client
from llmservice_operator.controller import Controller
from llmservice_operator.desired import Desired
from llmservice_operator.events import Recorder
from llmservice_operator.kinds import LEASE, Kind
from llmservice_operator.leader import DEADLINE, Leader, NotLeadingError
from llmservice_operator.loading import Inquiry
from llmservice_operator.places import Places
from llmservice_operator.prerequisites import Prerequisites
from llmservice_operator.queue import Queue
from llmservice_operator.records import Key
from llmservice_operator.render import RenderDefaults
from llmservice_operator.report import Reporter
from llmservice_operator.store import Store

from tests.unit.controller.model_server import ModelServer

_RESOURCE: Manifest = {
    "apiVersion": "v1",
    "kind": "LLMService",
    "metadata": {"name": "x", "namespace": "ns"},
    "spec": {"model": {"uri": "hf://org/model-7B"}, "autoscaling": {"min": 1, "max": 2}},
}


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class _Leases:
    """Where the Lease is. It keeps one."""

    lease: Manifest | None = None

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        if self.lease is None:
            raise ApiError(404, "NotFound", "")
        return self.lease

    async def replace(self, kind: Kind, obj: Manifest) -> Manifest:
        self.lease = obj
        return obj

    create = replace


class _Moved(_Leases):
    """The Lease has another version each time, and only the newest may be replaced."""

    asked = 0

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        self.asked += 1
        return json.loads(json.dumps(await super().get(kind, namespace, name)))

    async def replace(self, kind: Kind, obj: Manifest) -> Manifest:
        known = self.lease["metadata"]["resourceVersion"] if self.lease else "0"
        if obj["metadata"].get("resourceVersion", "0") != known:
            raise ApiError(409, "Conflict", "another version")
        version = {"resourceVersion": f"{int(known) + 1}"}
        self.lease = {**obj, "metadata": {**obj["metadata"], **version}}
        return json.loads(json.dumps(self.lease))

    create = replace


class _Guarded(ModelServer):
    """Asks before each write, as the real client does."""

    def __init__(self, leader: Leader) -> None:
        super().__init__()
        self._leader, self.stopped = leader, asyncio.Event()
        self.asked, self.answers = asyncio.Event(), asyncio.Event()
        self.answers.set()

    async def apply(self, kind: Kind, obj: Manifest) -> Manifest:
        self.asked.set()
        await self.answers.wait()
        return await super().apply(kind, obj)

    def _written(self, write: Any) -> Any:
        if not self._leader.leads():
            self.stopped.set()
        self._leader.check()
        return super()._written(write)


async def _renewed_once(leader: Leader, leases: _Leases) -> None:
    renewal = asyncio.create_task(leader.run(cast("Client", leases)))
    await asyncio.sleep(0.01)
    renewal.cancel()


async def _renew(leader: Leader, leases: _Leases) -> None:
    renewal = asyncio.create_task(leader.run(cast("Client", leases)))
    await asyncio.wait_for(leader.elected.wait(), 1)
    while not leader.leads():
        await asyncio.sleep(0.01)
    renewal.cancel()


def _controller(store: Store, queue: Queue[Key], leader: Leader, server: _Guarded) -> Controller:
    client = cast("Client", server)
    return Controller(
        store,
        queue,
        leader,
        Prerequisites(client),
        Writer(client, store),
        Places(store, queue.add, sees_nodes=True),
        Inquiry(store, leader.leads, queue.add),
        Reporter(client, store, Recorder(client, "me")),
        Desired(RenderDefaults(server_image="server:1")),
    )


async def test_work_that_a_late_renewal_stopped_is_done_after_it() -> None:
    clock, leases, store, queue = _Clock(), _Leases(), Store(), Queue[Key]()
    leader = Leader("ns", "lease", "me", clock)
    server = _Guarded(leader)
    controller = _controller(store, queue, leader, server)
    await _renew(leader, leases)
    worker = asyncio.create_task(controller.work())
    written = server.applied(_RESOURCE, "user")

    clock.now += DEADLINE + 1  # nothing renewed it, and nobody else took it
    for key in store.put(records.resource(written)):
        queue.add(key)
    await asyncio.wait_for(server.stopped.wait(), 5)
    assert leader.elected.is_set()
    assert server.writes == 0
    await _renew(leader, leases)

    async with asyncio.timeout(5):
        while ("Deployment", "x") not in server.objects:
            await asyncio.sleep(0.01)
    worker.cancel()


def _remembers(controller: Controller) -> set[str]:
    parts = (controller.desired, controller.prerequisites, controller.writer, controller.reporter)
    kept = ((part, memory) for part in parts for memory in vars(part).values())
    return {type(part).__name__ for part, memory in kept if isinstance(memory, dict) and memory}


async def test_who_does_not_lead_any_more_remembers_nothing_of_any_resource() -> None:
    clock, leases, store, queue = _Clock(), _Moved(), Store(), Queue[Key]()
    leader = Leader("ns", "lease", "me", clock)
    server = _Guarded(leader)
    controller = _controller(store, queue, leader, server)
    store.put(records.resource(server.applied(_RESOURCE, "user")))
    await _renew(leader, leases)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(job) for job in (controller.work(), controller.lead())]
        while ("HorizontalPodAutoscaler", "x") not in server.objects:
            await asyncio.sleep(0.01)
        assert _remembers(controller) == {"Desired", "Writer", "Reporter"}

        await _deposed(leader, leases, clock)
        assert _remembers(controller) == set()
        for task in running:
            task.cancel()


async def _deposed(leader: Leader, leases: _Leases, clock: _Clock) -> None:
    assert leases.lease is not None
    leases.lease["spec"]["holderIdentity"] = "other"
    leases.lease["metadata"]["resourceVersion"] = "9"
    clock.now += DEADLINE
    await _renewed_once(leader, leases)
    assert leader.deposed.is_set()


async def test_what_is_asked_for_or_ends_after_that_leaves_nothing_behind() -> None:
    clock, leases, store, queue = _Clock(), _Moved(), Store(), Queue[Key]()
    leader = Leader("ns", "lease", "me", clock)
    server = _Guarded(leader)
    controller = _controller(store, queue, leader, server)
    server.answers.clear()
    (key,) = store.put(records.resource(server.applied(_RESOURCE, "user")))
    await _renew(leader, leases)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        jobs = (controller.work(), controller.work(), controller.lead())
        running = [tasks.create_task(job) for job in jobs]  # one works, and one waits for a key
        await asyncio.wait_for(server.asked.wait(), 1)
        await _deposed(leader, leases, clock)
        server.answers.set()
        while queue.held():
            await asyncio.sleep(0.01)
        assert _remembers(controller) == set()

        queue.add(key)  # by a timer of before
        while queue.held() or len(queue):
            await asyncio.sleep(0.01)
        assert _remembers(controller) == set()
        assert queue.failures(key) == 0
        for task in running:
            task.cancel()


async def test_one_that_resigned_writes_no_more_and_gives_the_lease_up_in_one_request() -> None:
    leases, leader = _Moved(), Leader("ns", "lease", "me", _Clock())
    client = cast("Client", leases)
    await _renew(leader, leases)
    leader.check()
    leader.resign()
    with pytest.raises(NotLeadingError):
        leader.check()
    await _renewed_once(leader, leases)
    with pytest.raises(NotLeadingError):
        leader.check()

    asked = leases.asked
    await leader.release(client)
    assert leases.lease is not None
    assert leases.lease["spec"]["holderIdentity"] == ""
    assert leases.asked == asked


async def test_a_renewal_that_was_on_the_wire_does_not_keep_the_lease() -> None:
    leases, leader = _Moved(), Leader("ns", "lease", "me", _Clock())
    await _renew(leader, leases)
    assert leases.lease is not None
    await leases.replace(LEASE, leases.lease)  # it arrived, and its answer did not
    await leader.release(cast("Client", leases))
    assert leases.lease["spec"]["holderIdentity"] == ""


@pytest.mark.parametrize("empty", [{}, {"spec": None}, {"spec": {}}])
async def test_a_lease_that_says_nothing_is_free(empty: Manifest) -> None:
    leases, leader = _Moved(), Leader("ns", "lease", "me", _Clock())
    leases.lease = {"metadata": {"resourceVersion": "1"}, **empty}
    await _renew(leader, leases)
    assert leases.lease["spec"]["holderIdentity"] == "me"


async def test_the_lease_of_another_is_left_alone() -> None:
    leases, leader = _Moved(), Leader("ns", "lease", "me", _Clock())
    await _renew(leader, leases)
    assert leases.lease is not None
    leases.lease["spec"]["holderIdentity"] = "other"
    leases.lease["metadata"]["resourceVersion"] = "9"
    await leader.release(cast("Client", leases))
    assert leases.lease["spec"]["holderIdentity"] == "other"
