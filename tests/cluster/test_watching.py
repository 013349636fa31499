"""Watches that fail in every way: the operator goes on, and sees what happened meanwhile."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from devcluster import Cluster

from tests.cluster import services, writes
from tests.cluster.faulty_server import FaultyServer
from tests.cluster.kube import Kube, Manifest, eventually
from tests.cluster.operator_process import Operator


@pytest.fixture
def faulty(operator: Operator) -> Iterator[FaultyServer]:
    with FaultyServer(operator.kubeconfig).running() as server:
        yield server


@pytest.fixture
def behind(operator: Operator, faulty: FaultyServer, tmp_path: Path) -> Iterator[Operator]:
    """The operator behind the proxy, in place of the other one."""
    operator.stop()
    mine = Operator(faulty.kubeconfig(tmp_path), operator.lease_namespace, tmp_path / "log")
    mine.start()
    yield mine
    faulty.down, faulty.watch_error = False, 0
    mine.stop()


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
    behind: Operator, faulty: FaultyServer, kube: Kube
) -> None:
    uid = kube.create(services.minimal("gone"))["metadata"]["uid"]
    kube.create(services.minimal("stays"))
    services.wait_ready(kube, "gone")
    services.wait_ready(kube, "stays")

    faulty.down, faulty.watch_error = True, 410
    faulty.cut()
    kube.delete("LLMService", "gone")
    eventually("no children", lambda: not kube.children("gone"), seconds=30)
    kube.delete("Service", "stays")
    faulty.down = False
    time.sleep(1)  # every watch expires once, and every kind is listed anew
    faulty.watch_error = 0

    eventually("the other's Service", lambda: kube.get("Service", "stays"), seconds=60)
    kube.create(_ghost(uid))
    time.sleep(2)
    assert kube.get("Deployment", "gone") is None
    assert kube.get("Service", "gone") is None


def test_an_error_that_is_fatal_to_kopf_is_not_fatal_to_the_operator(
    behind: Operator, faulty: FaultyServer, kube: Kube
) -> None:
    kube.create(services.minimal("before"))
    services.wait_ready(kube, "before")

    faulty.watch_error = 500
    faulty.cut()
    before = writes.reads(behind)["GET LLMService"]
    time.sleep(8)
    asked = writes.reads(behind)["GET LLMService"] - before
    assert asked <= 12, "it lists again and again, without a pause"
    faulty.watch_error = 0

    kube.create(services.minimal("after"))
    services.wait_condition(kube, "after", "Ready", "True", "Serving", seconds=60)
    assert behind.leads()
    assert "made up" in behind.log.read_text()


def test_streams_that_are_cut_again_and_again_lose_nothing(
    behind: Operator, faulty: FaultyServer, kube: Kube, cluster: Cluster
) -> None:
    for number in range(4):
        kube.create(services.minimal(f"cut-{number}"))
        faulty.cut()
        time.sleep(0.3)
    for number in range(4):
        services.wait_condition(kube, f"cut-{number}", "Ready", "True", "Serving", seconds=60)


@pytest.mark.parametrize("levels", [1_500, 9_000])
def test_one_that_is_nested_deeply_is_refused_and_hides_no_other(
    operator: Operator, kube: Kube, cluster: Cluster, levels: int
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
    operator.stop()
    operator.start()
    kube.create(services.minimal("afterwards"))
    services.wait_ready(kube, "afterwards")
    assert kube.get("Deployment", "deep") is None
    cluster.kubectl("delete", *place, "llmservice", "deep")
