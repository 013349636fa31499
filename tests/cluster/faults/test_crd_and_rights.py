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
_SCALED = ("HorizontalPodAutoscaler", "Deployment")
Rule = Callable[[Manifest], Manifest | None]


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
def role(cluster: Cluster) -> Iterator[Callable[[Rule], None]]:
    """Called with what becomes of each of the operator's rules; None: it is taken away."""
    name = next(
        found.split("/")[1]
        for found in cluster.kubectl("get", "clusterrole", "-o", "name").split()
        if "llmservice-operator" in found
    )
    was = json.loads(cluster.kubectl("get", "clusterrole", name, "-o", "json"))["rules"]

    def have(rules: list[Manifest]) -> None:
        patch = json.dumps({"rules": rules})
        cluster.kubectl("patch", "clusterrole", name, "--type=merge", "-p", patch)

    yield lambda becomes: have([new for rule in was if (new := becomes(rule))])
    have(was)


def _all(rule: Manifest) -> Manifest:
    return rule


def _no_autoscalers(rule: Manifest) -> Manifest | None:
    return None if "horizontalpodautoscalers" in rule["resources"] else rule


def test_a_kind_that_may_not_be_seen_keeps_no_other_waiting_and_the_right_is_named(
    behind: Operator,
    role: Callable[[Rule], None],
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

    switched_off: Manifest = {"spec": {"autoscaling": None, "replicas": 1}}
    changed: Manifest = {"spec": {"expose": {"service": {"port": 8080}}}}
    kube.merge("LLMService", "before", {"spec": {**switched_off["spec"], **changed["spec"]}})
    eventually(
        "others are changed",
        lambda: kube.there("Service", "before")["spec"]["ports"][0]["port"] == 8080,
    )
    services.wait_condition(kube, "before", "Degraded", "True", "RightMissing")
    scaler, scaled = (kube.there(kind, "before") for kind in _SCALED)
    assert scaled["spec"]["replicas"] >= scaler["spec"]["minReplicas"] == 2

    role(_all)
    converged("before", "after")
    assert kube.get("HorizontalPodAutoscaler", "before") is None
    assert kube.there("Deployment", "before")["spec"]["replicas"] == 1


def _no_deletion(rule: Manifest) -> Manifest:
    return {**rule, "verbs": [verb for verb in rule["verbs"] if verb != "delete"]}


def test_what_may_not_be_deleted_is_told_and_keeps_no_other_waiting(
    behind: Operator,
    role: Callable[[Rule], None],
    kube: Kube,
    converged: Callable[..., None],
) -> None:
    kube.create(services.minimal("kept"))
    converged("kept")
    role(_no_deletion)
    kube.merge("LLMService", "kept", {"spec": {"engine": {"args": {"max-model-len": 2048}}}})

    def told() -> bool:
        said = condition(kube.there("LLMService", "kept"), "Degraded").get("message", "")
        return 'cannot delete resource "configmaps"' in said

    eventually("the right is named", told)
    services.wait_condition(kube, "kept", "Ready", "True", "Serving")
    kube.merge("LLMService", "kept", {"spec": {"expose": {"service": {"port": 8080}}}})
    eventually(
        "others are changed",
        lambda: kube.there("Service", "kept")["spec"]["ports"][0]["port"] == 8080,
    )
    role(_all)
    converged("kept")


def _no_services(rule: Manifest) -> Manifest | None:
    return None if "services" in rule["resources"] else rule


def test_what_may_not_be_written_is_told_with_the_right_that_lacks(
    behind: Operator,
    role: Callable[[Rule], None],
    kube: Kube,
    converged: Callable[..., None],
) -> None:
    role(_no_services)
    kube.create(services.minimal("mute"))

    def told() -> bool:
        found = condition(kube.there("LLMService", "mute"), "Degraded")
        return 'cannot patch resource "services' in found.get("message", "")

    eventually("the right is named", told)
    role(_all)
    converged("mute")
