"""A reconcile reads the cluster through the watches that are open anyway."""

from tests.cluster import services, writes
from tests.cluster.kube import Kube
from tests.cluster.operator_process import Operator


def test_of_a_resource_only_what_its_spec_names_is_asked_for(
    operator: Operator, kube: Kube
) -> None:
    kube.create(services.minimal("first"))  # the operator's first lists are behind it
    services.wait_ready(kube, "first")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}}
    kube.create({**secret, "stringData": {"HF_TOKEN": "x"}})
    before = writes.reads(operator)

    model = {"uri": "hf://org/private", "credentialsSecret": "token"}
    kube.create(services.autoscaled("read", model=model))
    services.wait_ready(kube, "read")
    kube.merge("LLMService", "read", {"spec": {"disruption": {"maxUnavailable": 2}}})
    services.wait_ready(kube, "read")

    read = writes.reads(operator) - before
    assert read == {"GET Secret": read["GET Secret"]}
    assert read["GET Secret"] <= 2  # once for each generation
