"""The operator's own life: killed at any moment, replaced, granted one namespace only."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from devcluster import Cluster

from tests.cluster import services, writes
from tests.cluster.kube import Kube, eventually
from tests.cluster.operator_process import Operator

_MANY = 40
_KINDS = ["ConfigMap", "Deployment", "PodDisruptionBudget", "Service", "ServiceAccount"]


def _settled(kube: Kube, name: str) -> None:
    services.wait_ready(kube, name)
    assert sorted(child.split()[0] for child in kube.children(name)) == _KINDS


def test_killed_at_any_moment_it_finishes_the_work_when_it_is_back(
    operator: Operator, kube: Kube
) -> None:
    chance = random.Random(7)
    for name in ("a", "b"):
        kube.create(services.minimal(name))
        time.sleep(chance.uniform(0, 0.1))
        operator.stop(signal.SIGKILL)
        kube.merge("LLMService", name, {"spec": {"replicas": 2}})
        operator.start()
    for name in ("a", "b"):
        _settled(kube, name)
        assert kube.there("Deployment", name)["spec"]["replicas"] == 2


def _uids(kube: Kube, name: str) -> dict[str, tuple[str, int]]:
    """And generations."""
    found = {child: obj["metadata"] for child, obj in kube.children(name).items()}
    return {child: (meta["uid"], meta.get("generation", 0)) for child, meta in found.items()}


def _late(operator: Operator) -> float:
    """Writes that were refused because another had written meanwhile."""
    failed = "llmservice_operator_child_write_failures_total{"
    lines = [line for line in operator.metrics().splitlines() if line.startswith(failed)]
    return sum(float(line.split()[-1]) for line in lines if 'code="409"' in line)


@pytest.fixture
def second(operator: Operator, tmp_path: Path) -> Iterator[Operator]:
    """Another process of the same operator, standing by."""
    log = tmp_path / "second"
    other = Operator(operator.kubeconfig, operator.lease_namespace, log, name="operator-1")
    other.start(leads=False)
    yield other
    if other.process and other.process.poll() is None:
        other.stop()


def test_a_second_process_stands_by_and_takes_over_at_once_where_the_lease_is_given_up(
    operator: Operator, second: Operator, kube: Kube
) -> None:
    assert not second.leads()
    kube.create(services.minimal("passing"))
    _settled(kube, "passing")
    kube.delete("LLMService", "passing")
    assert second.metric('workqueue_adds_total{name="llmservice"}') == 0, "keys pile up"

    began = time.monotonic()
    assert operator.stop() == 0
    second.wait(second.leads, "leading", seconds=10)
    took = time.monotonic() - began

    kube.create(services.minimal("next"))
    _settled(kube, "next")
    assert took < 5, took
    second.stop()


def test_with_all_hands_full_it_still_gives_the_lease_up_within_two_seconds(
    operator: Operator, second: Operator, cluster: Cluster, kube: Kube
) -> None:
    leases = Kube(cluster.kubeconfig, operator.lease_namespace)
    names = [f"busy-{number}" for number in range(_MANY)]
    for name in names:
        kube.create(services.minimal(name))
    assert operator.process is not None
    began = time.monotonic()
    operator.process.send_signal(signal.SIGTERM)

    def given_up() -> bool:
        lease = leases.there("Lease", "llmservice-operator")
        return lease["spec"]["holderIdentity"] != operator.name

    eventually("the lease is free, or another's", given_up)
    took = time.monotonic() - began
    unfinished = _MANY - len(kube.list("Deployment"))

    assert operator.process.wait(10) == 0
    for name in names:
        _settled(kube, name)
    assert unfinished, "it had nothing to do any more: this shows nothing"
    assert took < 2, took
    second.stop()


def test_a_leader_paused_in_the_middle_of_its_work_sends_one_write_more_at_most(
    operator: Operator, second: Operator, kube: Kube
) -> None:
    known = _late(operator)
    names = [f"half-{number}" for number in range(_MANY)]
    for name in names:
        kube.create(services.minimal(name))
    assert operator.process is not None
    operator.process.send_signal(signal.SIGSTOP)
    try:
        unfinished = _MANY - len(kube.list("Deployment"))
        second.wait(second.leads, "leading", seconds=30)
        for name in names:
            _settled(kube, name)
        children = {name: _uids(kube, name) for name in names}
        before = writes.until_quiet(second)
    finally:
        operator.process.send_signal(signal.SIGCONT)
    operator.wait(lambda: not operator.leads(), "deposed", seconds=5)
    time.sleep(3)

    assert unfinished, "it had nothing to do any more: this shows nothing"
    # One thread: at most one write was between its question and the wire when all stood still.
    assert _late(operator) <= known + 1
    assert (writes.count(second) - before).total() <= 1, "there was more than that to put right"
    assert {name: _uids(kube, name) for name in names} == children
    second.stop()
    operator.wait(operator.leads, "leading again", seconds=10)


def test_a_leader_that_stops_answering_is_replaced_and_writes_nothing_when_it_is_back(
    operator: Operator, second: Operator, kube: Kube
) -> None:
    assert operator.process is not None
    operator.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        second.wait(second.leads, "leading", seconds=30)
        assert time.monotonic() - began < 15
    finally:
        operator.process.send_signal(signal.SIGCONT)
    operator.wait(lambda: not operator.leads(), "deposed", seconds=5)
    written = sum(operator.metric(_created(kind)) for kind in _KINDS)

    kube.create(services.minimal("kept"))
    _settled(kube, "kept")
    assert sum(operator.metric(_created(kind)) for kind in _KINDS) == written
    assert sum(second.metric(_created(kind)) for kind in _KINDS) == len(_KINDS)
    second.stop()
    operator.wait(operator.leads, "leading again", seconds=10)


def _created(kind: str) -> str:
    return f'llmservice_operator_child_writes_total{{kind="{kind}",verb="create"}}'


@pytest.fixture
def elsewhere(cluster: Cluster, kube: Kube) -> Iterator[Kube]:
    """Another namespace."""
    other = Kube(cluster.kubeconfig, f"{kube.namespace}-b")
    cluster.kubectl("create", "namespace", other.namespace)
    yield other
    cluster.kubectl("delete", "llmservices", "--all", "-n", other.namespace)
    cluster.kubectl("delete", "namespace", other.namespace, "--wait=false")


def test_with_rights_in_one_namespace_it_serves_that_one_and_leaves_the_others(
    operator: Operator,
    identity: Callable[..., Path],
    kube: Kube,
    elsewhere: Kube,
    tmp_path: Path,
) -> None:
    operator.stop()
    mine = kube.namespace
    account = identity(mine, f"namespaces={{{mine}}}")
    flags = (f"--namespaces={mine}",)
    narrow = Operator(account, mine, tmp_path / "log", name="narrow-0", flags=flags)
    narrow.start()
    try:
        elsewhere.create(services.minimal("there"))
        kube.create(services.minimal("here"))
        _settled(kube, "here")
        kube.create(services.minimal("huge", gpu={"count": 64}))
        found = services.wait_condition(kube, "huge", "Degraded", "True", "Unschedulable")
        assert "Insufficient nvidia.com/gpu" in found["message"]  # the scheduler's own words
        told = kube.there("LLMService", "huge")["status"]["placement"]
        assert told.keys() == {"message"}
        assert "limited to single namespaces and may not see nodes" in told["message"]
        kube.merge("LLMService", "here", {"spec": {"gpu": {"count": 64}}})
        found = services.wait_condition(kube, "here", "Degraded", "True", "Unschedulable")
        assert found["message"].startswith("1 of 2 pods cannot be scheduled: ")  # the surge pod
        services.wait_condition(kube, "here", "Ready", "True", "Serving")
        assert elsewhere.children("there") == {}
        untouched = {"observedGeneration": -1}  # what the schema gives a new resource
        assert elsewhere.there("LLMService", "there")["status"] == untouched
        assert "forbidden" not in narrow.log.read_text()
    finally:
        narrow.stop()


def test_a_namespace_that_is_deleted_keeps_no_other_waiting_and_is_served_when_it_is_back(
    operator: Operator,
    identity: Callable[..., Path],
    cluster: Cluster,
    kube: Kube,
    elsewhere: Kube,
    tmp_path: Path,
) -> None:
    operator.stop()
    mine, other = kube.namespace, elsewhere.namespace
    values = f"namespaces={{{mine},{other}}}"
    account = identity(mine, values)
    flags = (f"--namespaces={mine},{other}",)
    both = Operator(account, mine, tmp_path / "log", name="both-0", flags=flags)
    cluster.kubectl("delete", "namespace", other, "--timeout=60s", timeout=70)

    both.start()
    try:
        kube.create(services.minimal("here"))
        _settled(kube, "here")
        assert f"namespace {other} is left out" in both.log.read_text()

        cluster.kubectl("create", "namespace", other)
        identity(mine, values)
        elsewhere.create(services.minimal("there"))
        services.wait_condition(elsewhere, "there", "Ready", "True", "Serving")

        elsewhere.delete("LLMService", "there")
        cluster.kubectl("delete", "namespace", other, "--timeout=60s", timeout=70)
        kube.create(services.minimal("still"))
        _settled(kube, "still")
        cluster.kubectl("create", "namespace", other)  # for the fixture to delete
    finally:
        both.stop()
