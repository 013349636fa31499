"""The wall clock may jump: nothing is decided by it, so nothing is written for it and nobody leads
for longer or shorter. What it is for is dates that people read.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from llmservice_operator import controller, events, leader, report
from llmservice_operator.api import Manifest
from llmservice_operator.client import ApiError, Client
from llmservice_operator.kinds import Kind
from llmservice_operator.leader import DURATION, RENEW, Leader

from tests.unit.controller.world import World

_STEPS = [timedelta(days=400), timedelta(hours=-3), timedelta(days=-4000)]


@pytest.fixture
def stepped(monkeypatch: pytest.MonkeyPatch) -> list[timedelta]:
    """What is in it is added to the wall clock."""
    steps: list[timedelta] = []

    class Stepped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + sum(steps, timedelta())

    for module in (controller, leader, events):
        monkeypatch.setattr(module, "datetime", Stepped)
    assert Stepped.now(UTC)
    return steps


@pytest.mark.parametrize("step", _STEPS, ids=str)
def test_no_status_and_no_child_is_written_for_it(
    step: timedelta, stepped: list[timedelta], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "PAUSE", 0.0)
    world = World()
    world.write_spec(0)
    for _ in range(4):
        world.relist()
        asyncio.run(world.reconcile())
    written = world.server.writes

    stepped.append(step)
    asyncio.run(world.reconcile())
    world.restart()
    asyncio.run(world.reconcile())

    assert world.server.writes == written


@pytest.mark.parametrize("step", _STEPS, ids=str)
def test_what_an_autoscaler_complains_of_is_told_no_sooner_for_it(
    step: timedelta, stepped: list[timedelta], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "PAUSE", 0.0)
    world = World()
    world.write_spec(2)  # with an autoscaler
    world.relist()
    asyncio.run(world.reconcile())
    world.start_pod()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
    for pod in world.pods.values():
        pod["status"] = {"phase": "Running", "conditions": [ready]}
    blind = {"type": "ScalingActive", "status": "False", "lastTransitionTime": now}
    world.server.report(("HorizontalPodAutoscaler", "x"), {"conditions": [blind]})
    for _ in range(2):
        world.settle_deployments()
        world.relist()
        asyncio.run(world.reconcile())
    written = world.server.writes

    stepped.append(step)
    asyncio.run(world.reconcile())

    assert world.server.writes == written
    monkeypatch.setattr("llmservice_operator.status.children.METRIC_LAG", 0.0)
    asyncio.run(world.reconcile())
    assert world.server.writes == written + 1  # in its time it is


class _Leases:
    lease: Manifest | None = None
    version = 1

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        if self.lease is None:
            raise ApiError(404, "NotFound", "")
        return self.lease

    async def replace(self, kind: Kind, obj: Manifest) -> Manifest:
        self.version += 1
        metadata = {**obj["metadata"], "resourceVersion": str(self.version)}
        self.lease = {**obj, "metadata": metadata}
        return self.lease

    create = replace


@pytest.mark.parametrize("step", _STEPS, ids=str)
async def test_nobody_takes_over_or_steps_down_for_it(
    step: timedelta, stepped: list[timedelta]
) -> None:
    now, leases = 1000.0, _Leases()
    one, two = (Leader("ns", "lease", name, lambda: now) for name in ("one", "two"))

    async def turn(who: Leader) -> None:
        running = asyncio.create_task(who.run(cast("Client", leases)))
        for _ in range(5):
            await asyncio.sleep(0)
        running.cancel()

    await turn(one)
    await turn(two)
    stepped.append(step)
    for _ in range(6):
        now += RENEW
        assert one.leads()
        await turn(two)
        await turn(one)
        assert (one.leads(), two.leads()) == (True, False)

    now += DURATION  # it renews no more
    await turn(two)
    now += DURATION + 1
    await turn(two)
    assert (one.leads(), two.leads()) == (False, True)
