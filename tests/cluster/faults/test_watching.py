"""Watches that fail in every way: the operator goes on, and sees what happened meanwhile."""

import json
import time
from collections.abc import Callable

import pytest
from devcluster import Cluster

from bench.operator.samples import samples
from tests.cluster import services, writes
from tests.cluster.faults.proxy import Proxy
from tests.cluster.kube import CHILDREN, Kube, Manifest, eventually
from tests.cluster.operator_process import Operator
from tests.length import lasting


def _ghost(uid: str) -> Manifest:
    """A child of an LLMService that is gone, as a slow garbage collector leaves it for a moment."""
    owner = {
        "apiVersion": "llmservice.io/v1alpha1",
        "kind": "LLMService",
        "name": "gone",
        "uid": uid,
        "controller": True,
    }
    labels = {"app.kubernetes.io/managed-by": "llmservice-operator"}
    metadata = {"name": "gone-ghost", "labels": labels, "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def test_what_was_deleted_while_nobody_could_look_is_seen_as_deleted(
    behind: Operator, proxy: Proxy, kube: Kube, converged: Callable[..., None]
) -> None:
    uid = kube.create(services.minimal("gone"))["metadata"]["uid"]
    kube.create(services.minimal("stays"))
    services.wait_ready(kube, "gone")
    services.wait_ready(kube, "stays")

    proxy.down, proxy.watch_error = True, 410
    proxy.cut()
    kube.delete("LLMService", "gone")
    eventually("no children", lambda: not kube.children("gone"))
    kube.delete("Service", "stays")
    proxy.down = False
    time.sleep(1)  # every watch expires once, and every kind is listed anew
    proxy.watch_error = 0

    eventually("the other's Service", lambda: kube.get("Service", "stays"))
    kube.create(_ghost(uid))
    converged("stays")
    assert kube.children("gone") == {}


@pytest.mark.parametrize("held", ["poddisruptionbudgets", "pods"])
def test_before_every_kind_is_listed_it_is_not_ready_and_writes_nothing(
    behind: Operator, proxy: Proxy, kube: Kube, converged: Callable[..., None], held: str
) -> None:
    kube.create(services.minimal("waits"))
    converged("waits")
    behind.stop()
    kube.delete("Service", "waits")  # whose list is complete
    proxy.holds, written = held, proxy.writes.copy()

    behind.launch()
    behind.wait(behind.leads, "leading")
    others = {"GET LLMService", "GET Service", "GET Deployment"}
    behind.wait(lambda: writes.reads(behind).keys() >= others, "listing the other kinds")
    kube.merge("LLMService", "waits", {"spec": {"replicas": 2}})  # an event, which it sees
    time.sleep(2)

    assert not behind.ready()
    assert proxy.writes == written
    proxy.heal()
    behind.wait_ready()
    converged("waits")


def _phase(kube: Kube, name: str) -> str:
    status = kube.there("LLMService", name).get("status", {})
    return status.get("startup", {}).get("phase", "")


def _still(operator: Operator) -> float:
    """The reconciles so far, once there was none for two seconds."""

    def still() -> float | None:
        before = _reconciles(operator)
        time.sleep(2)
        return before if _reconciles(operator) == before else None

    return eventually("nobody is looked at", still)


def _reconciles(operator: Operator) -> float:
    found = samples(operator.metrics(), "controller_runtime_reconcile_total")
    return sum(value for _, value in found)


def test_to_list_everything_anew_wakes_nobody_and_writes_nothing(
    behind: Operator, proxy: Proxy, kube: Kube
) -> None:
    names = [f"calm-{number}" for number in range(4)]
    for name in names:  # a rollout that is complete would be news ten seconds later
        kube.create(services.minimal(name, ready_after="1h"))
    for name in names:
        eventually("its pod starts", lambda name=name: _phase(kube, name) == "Pulling")
    looked, written, listed = _still(behind), proxy.writes.copy(), writes.reads(behind)

    proxy.watch_error = 410
    proxy.cut()
    kinds = {f"GET {kind}" for kind in (*CHILDREN, "LLMService", "Pod", "Node")}
    eventually("each kind is listed", lambda: (writes.reads(behind) - listed).keys() >= kinds)
    proxy.watch_error = 0
    time.sleep(2)

    assert _reconciles(behind) == looked
    assert proxy.writes == written


def test_an_error_that_is_fatal_to_kopf_is_not_fatal_to_the_operator(
    behind: Operator, proxy: Proxy, kube: Kube, converged: Callable[..., None]
) -> None:
    kube.create(services.minimal("before"))
    services.wait_ready(kube, "before")

    proxy.watch_error = 500
    proxy.cut()
    before = writes.reads(behind)["GET LLMService"]
    time.sleep(8)
    asked = writes.reads(behind)["GET LLMService"] - before
    assert asked <= 18, "it lists again and again, without a pause"  # three a try: two are ours
    proxy.watch_error = 0

    kube.create(services.minimal("after"))
    converged("before", "after")
    assert behind.leads()
    assert "made up" in behind.log.read_text()


def test_streams_that_are_cut_again_and_again_lose_nothing(
    behind: Operator, proxy: Proxy, kube: Kube, converged: Callable[..., None]
) -> None:
    names = [f"cut-{number}" for number in range(4)]
    for name in names:
        kube.create(services.minimal(name))
        proxy.cut()
        time.sleep(0.3)
    converged(*names)


def _edit_all_the_time(kube: Kube, seconds: float) -> tuple[str, ...]:
    names = ("first", "second")
    for name in names:
        kube.create(services.minimal(name))
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        number += 1
        kube.merge("LLMService", names[number % 2], {"spec": {"replicas": 1 + number % 3}})
        if number % 30 < 4 and kube.get("Service", names[0]):  # more often would be a fight
            kube.delete("Service", names[0])
        time.sleep(1)
    return names


def test_streams_that_are_cut_every_other_second(
    behind: Operator, proxy: Proxy, kube: Kube, converged: Callable[..., None]
) -> None:
    proxy.cut_every = 2.0
    proxy.cut()
    names = _edit_all_the_time(kube, lasting(5, 120))
    proxy.heal()
    converged(*names)


def test_events_that_come_twice_and_in_any_order(
    behind: Operator, proxy: Proxy, kube: Kube, converged: Callable[..., None]
) -> None:
    proxy.shuffles = True
    proxy.cut()
    names = _edit_all_the_time(kube, lasting(4, 60))
    proxy.heal()
    converged(*names)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_streams_that_fall_silent_are_opened_again(
    behind: Operator, proxy: Proxy, kube: Kube, converged: Callable[..., None]
) -> None:
    proxy.stalls = True
    names = _edit_all_the_time(kube, 5)
    time.sleep(5)
    proxy.heal()  # for streams that are opened from now on
    converged(*names, seconds=150)


@pytest.mark.parametrize("levels", [1_500, 9_000])
def test_one_that_is_nested_deeply_is_refused_and_hides_no_other(
    behind: Operator,
    kube: Kube,
    cluster: Cluster,
    converged: Callable[..., None],
    levels: int,
) -> None:
    # kubectl, as this process could not read it
    args = {"hf-overrides": "NESTED"}
    deep = json.dumps(services.minimal("deep", engine={"args": args}))
    nested = '{"a":' * levels + "1" + "}" * levels
    place = ("-n", kube.namespace)
    cluster.kubectl("create", *place, "-f", "-", input=deep.replace('"NESTED"', nested))

    def refused() -> bool:
        path = "jsonpath={.status.conditions[?(@.type=='Degraded')].reason}"
        found = cluster.kubectl("get", *place, "llmservice", "deep", "-o", path)
        return found == "InvalidSpec"

    kube.create(services.minimal("beside"))
    services.wait_ready(kube, "beside")
    eventually("the one is refused", refused)
    behind.stop()
    behind.start()
    kube.create(services.minimal("afterwards"))
    converged("beside", "afterwards")  # of the one there is no child
    cluster.kubectl("delete", *place, "llmservice", "deep")
