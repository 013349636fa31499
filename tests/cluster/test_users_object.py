"""The LLMService is its user's: the operator writes its status, and its end waits for nobody."""

from tests.cluster import services
from tests.cluster.kube import Kube, eventually
from tests.cluster.operator_process import Operator


def test_of_the_resource_only_the_status_is_written(operator: Operator, kube: Kube) -> None:
    created = kube.create(services.autoscaled("mine"))
    services.wait_ready(kube, "mine")

    now = kube.there("LLMService", "mine")
    assert now["spec"] == created["spec"]
    counted = {"managedFields", "resourceVersion"}
    assert {k: v for k, v in now["metadata"].items() if k not in counted} == {
        k: v for k, v in created["metadata"].items() if k not in counted
    }
    ours = [
        entry
        for entry in now["metadata"]["managedFields"]
        if entry["manager"] == "llmservice-operator"
    ]
    assert [(entry["subresource"], [*entry["fieldsV1"]]) for entry in ours] == [
        ("status", ["f:status"])
    ]


def test_its_deletion_does_not_wait_for_the_operator(operator: Operator, kube: Kube) -> None:
    kube.create(services.autoscaled("gone"))
    services.wait_ready(kube, "gone")
    operator.stop()

    kube.delete("LLMService", "gone")

    assert kube.get("LLMService", "gone") is None
    eventually("no children", lambda: not kube.children("gone"))
