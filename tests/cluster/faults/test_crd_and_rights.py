"""A CRD that is not there yet, or goes and comes back; a right that is taken away."""

import json
from collections.abc import Callable, Iterator

import pytest
from devcluster import Cluster

from tests.cluster import services
from tests.cluster.faults.proxy import Proxy
from tests.cluster.kube import Kube, Manifest, condition, eventually, install_crds
from tests.cluster.operator_process import Operator

_CRD = "crd/llmservices.llmservice.io"


@pytest.fixture
def crd(cluster: Cluster) -> Iterator[Callable[[bool], None]]:
    """Called with whether it shall be there; in the end it is."""

    def there(wanted: bool) -> None:  # noqa: FBT001
        if wanted:
            install_crds(cluster)
        else:
            cluster.kubectl("delete", _CRD, "--timeout=60s", timeout=70)

    yield there
    there(True)


def test_a_crd_that_is_missing_at_the_start_is_waited_for(
    behind: Operator,
    crd: Callable[[bool], None],
    kube: Kube,
    converged: Callable[..., None],
) -> None:
    behind.stop()
    crd(False)
    behind.launch()
    behind.wait(lambda: "404" in behind.log.read_text(), "looking for it")
    assert behind.runs()
    assert behind.metrics()  # so it answers, and is
    assert not behind.ready()
    crd(True)
    kube.create(services.minimal("patient"))
    behind.wait_ready()
    converged("patient")


def test_a_crd_that_is_deleted_and_comes_back(
    behind: Operator,
    crd: Callable[[bool], None],
    kube: Kube,
    converged: Callable[..., None],
) -> None:
    kube.create(services.minimal("seen"))
    kube.delete("LLMService", "seen", "Foreground")  # which ends once it was collected itself
    eventually("the garbage collector knows the kind", lambda: not kube.get("LLMService", "seen"))
    kube.create(services.minimal("again"))
    converged("again")
    ended = 'llmservice_operator_watch_restarts_total{kind="LLMService",reason="failed"}'
    before = behind.metric(ended)
    crd(False)
    eventually("its children go", lambda: not kube.children("again"))
    behind.wait(lambda: behind.metric(ended) > before, "told that the kind is gone")
    assert behind.ready()  # there is nothing that it does not know
    converged()
    crd(True)
    kube.create(services.minimal("again"))
    converged("again")


@pytest.fixture
def role(cluster: Cluster) -> Iterator[Callable[[Callable[[Manifest], bool]], None]]:
    """Called with a test of the operator's rules, it takes away those that fail it."""
    name = next(
        found.split("/")[1]
        for found in cluster.kubectl("get", "clusterrole", "-o", "name").split()
        if "llmservice-operator" in found
    )
    was = json.loads(cluster.kubectl("get", "clusterrole", name, "-o", "json"))["rules"]

    def have(rules: list[Manifest]) -> None:
        patch = json.dumps({"rules": rules})
        cluster.kubectl("patch", "clusterrole", name, "--type=merge", "-p", patch)

    yield lambda stays: have([rule for rule in was if stays(rule)])
    have(was)


def _no_autoscalers(rule: Manifest) -> bool:
    return "horizontalpodautoscalers" not in rule["resources"]


def test_a_kind_that_may_not_be_seen_keeps_no_other_waiting_and_the_right_is_named(
    behind: Operator,
    role: Callable[[Callable[[Manifest], bool]], None],
    proxy: Proxy,
    kube: Kube,
    converged: Callable[..., None],
) -> None:
    kube.create(services.autoscaled("before"))
    converged("before")
    role(_no_autoscalers)
    proxy.cut()  # a stream that is open stays open

    found = services.wait_condition(kube, "before", "Degraded", "True", "RightMissing")
    assert 'cannot list resource "horizontalpodautoscalers"' in found["message"]
    kube.merge("Service", "before", {"spec": {"selector": {"drifted": "yes"}}})
    eventually(
        "others are healed",
        lambda: "drifted" not in kube.there("Service", "before")["spec"]["selector"],
    )
    behind.stop()
    behind.start()
    kube.create(services.autoscaled("after"))
    services.wait_condition(kube, "after", "Degraded", "True", "RightMissing")
    services.wait_condition(kube, "after", "Ready", "True", "Serving")
    assert kube.get("HorizontalPodAutoscaler", "after") is None

    role(lambda _: True)
    converged("before", "after")


def _no_services(rule: Manifest) -> bool:
    return "services" not in rule["resources"]


def test_what_may_not_be_written_is_told_with_the_right_that_lacks(
    behind: Operator,
    role: Callable[[Callable[[Manifest], bool]], None],
    kube: Kube,
    converged: Callable[..., None],
) -> None:
    role(_no_services)
    kube.create(services.minimal("mute"))

    def told() -> bool:
        found = condition(kube.there("LLMService", "mute"), "Degraded")
        return 'cannot patch resource "services' in found.get("message", "")

    eventually("the right is named", told)
    role(lambda _: True)
    converged("mute")
