"""The wall clock of the operator alone jumps by hours, forth and back, while it works.

Python imports a sitecustomize that lies in a folder of PYTHONPATH before anything else; this one
puts a clock that a file moves in the place of the machine's, for one process alone.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from devcluster import Cluster

from tests.cluster import services
from tests.cluster.faults.proxy import Proxy
from tests.cluster.kube import Kube, Manifest, eventually
from tests.cluster.operator_process import Operator
from tests.length import lasting

_SITECUSTOMIZE = """
import datetime, pathlib, time

_ahead = pathlib.Path(__file__).with_name("ahead")
_time, _time_ns, _real = time.time, time.time_ns, datetime.datetime

def _seconds():
    return int(_ahead.read_text())

class _Either(type):
    def __instancecheck__(cls, instance):
        return isinstance(instance, _real)

class _Moved(_real, metaclass=_Either):
    @classmethod
    def now(cls, tz=None):
        return _real.now(tz) + datetime.timedelta(seconds=_seconds())

    @classmethod
    def utcnow(cls):
        return _real.utcnow() + datetime.timedelta(seconds=_seconds())

datetime.datetime = _Moved
time.time = lambda: _time() + _seconds()
time.time_ns = lambda: _time_ns() + _seconds() * 10**9
"""
_FORTH_AND_BACK = [timedelta(hours=5), timedelta(hours=-7)]
_STEPS = lasting(_FORTH_AND_BACK, [*_FORTH_AND_BACK, timedelta(days=400), timedelta()])
_STILL = lasting(8.0, 30.0)  # seconds: with what follows more than a Lease lasts unrenewed


@dataclass
class Clock:
    """folder: of the sitecustomize."""

    folder: Path

    def step(self, ahead: timedelta) -> None:
        new = self.folder / "new"
        new.write_text(str(int(ahead.total_seconds())))
        new.replace(self.folder / "ahead")


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    made = Clock(tmp_path)
    (tmp_path / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    made.step(timedelta())
    return made


@pytest.fixture
def stepped(
    shared_operator: Operator, proxy: Proxy, clock: Clock, nodes: None, tmp_path: Path
) -> Iterator[Operator]:
    """The operator behind the proxy, leading, by that clock."""
    if shared_operator.runs():
        shared_operator.stop()
    path = os.pathsep.join(filter(None, (str(clock.folder), os.environ.get("PYTHONPATH"))))
    mine = Operator(
        proxy.kubeconfig(tmp_path),
        shared_operator.lease_namespace,
        tmp_path / "log",
        environment={"PYTHONPATH": path},
    )
    mine.start()
    yield mine
    proxy.heal()
    if mine.runs():
        mine.stop()


@pytest.fixture
def standby(shared_operator: Operator, stepped: Operator, tmp_path: Path) -> Iterator[Operator]:
    """Another process, by the machine's clock and past the proxy."""
    identity, log = shared_operator.kubeconfig, tmp_path / "standby"
    other = Operator(identity, stepped.lease_namespace, log, name="operator-1")
    other.start(leads=False)
    yield other
    if other.runs():
        other.stop()


def _since(words: str) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(words)


def test_it_leads_on_writes_nothing_for_it_and_carries_out_what_is_edited(
    stepped: Operator,
    standby: Operator,
    clock: Clock,
    cluster: Cluster,
    proxy: Proxy,
    kube: Kube,
    converged: Callable[..., None],
) -> None:
    leases = Kube(cluster.kubeconfig, stepped.lease_namespace)

    def lease() -> Manifest:
        return leases.there("Lease", "llmservice-operator")["spec"]

    kube.create(services.minimal("timeless"))
    converged("timeless")
    transitions = lease()["leaseTransitions"]
    for number, ahead in enumerate(_STEPS):
        written = proxy.writes.copy()
        clock.step(ahead)
        eventually(
            "the process lives in that time",
            lambda ahead=ahead: abs(_since(lease()["renewTime"]) + ahead) < timedelta(minutes=5),
        )
        time.sleep(_STILL)
        assert proxy.writes == written

        kube.merge("LLMService", "timeless", {"spec": {"replicas": 1 + number % 2}})
        kube.delete("Service", "timeless")
        converged("timeless")
        assert stepped.leads()
        assert not standby.leads()
        assert (lease()["holderIdentity"], lease()["leaseTransitions"]) == (
            stepped.name,
            transitions,
        )
    assert kube.there("Deployment", "timeless")["spec"]["replicas"] == 2


def test_who_cannot_renew_leads_no_longer_by_a_clock_that_went_back(
    stepped: Operator, standby: Operator, clock: Clock, proxy: Proxy
) -> None:
    proxy.down = True
    clock.step(timedelta(hours=-7))
    standby.wait(standby.leads, "leading", seconds=30)
    assert not stepped.leads()
    proxy.heal()
    time.sleep(2)
    assert standby.leads()
    assert not stepped.leads()
    standby.stop()
    stepped.wait(stepped.leads, "leading again", seconds=10)
