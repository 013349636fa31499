"""What becomes of an LLMService: its children, its status, and nothing once it is deleted."""

import statistics
import time

from tests.cluster import services
from tests.cluster.kube import Kube, Manifest, condition, eventually
from tests.cluster.operator_process import Operator

_KINDS = {"ServiceAccount", "ConfigMap", "Service", "Deployment", "PodDisruptionBudget"}


def test_a_minimal_resource_becomes_ready_with_all_its_children(
    operator: Operator, kube: Kube
) -> None:
    created = kube.create(services.minimal("qwen"))
    services.wait_ready(kube, "qwen")

    children = kube.children("qwen")
    assert {child.split()[0] for child in children} == _KINDS
    for child in children.values():
        (owner,) = child["metadata"]["ownerReferences"]
        assert owner["uid"] == created["metadata"]["uid"]
        assert owner["controller"] is True
    status = kube.there("LLMService", "qwen")["status"]
    assert status["observedGeneration"] == 1
    assert status["url"] == f"http://qwen.{kube.namespace}.svc/v1"
    assert status["model"] == "qwen"
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (1, 1, 1)


def test_any_text_reaches_the_children_unchanged(operator: Operator, kube: Kube) -> None:
    odd = '🙂 \x7f\x80\x85\ufffe ü \\ " \n: - #'
    env = [{"name": "ODD", "value": odd}]
    kube.create(services.minimal("odd", engine={"env": env}))
    services.wait_ready(kube, "odd")
    (container,) = kube.list("Pod")[0]["spec"]["containers"]
    assert [e["value"] for e in container["env"] if e["name"] == "ODD"] == [odd]


def _config_map(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def test_every_child_is_there_half_a_second_after_apply(operator: Operator, kube: Kube) -> None:
    waits: list[float] = []
    alone: list[float] = []
    for attempt in range(5):
        name = f"quick-{attempt}"
        began = time.monotonic()
        for number in range(len(_KINDS) + 2):  # the resource, its children, and the last of them
            kube.create(_config_map(f"{name}-{number}"))
        alone.append(time.monotonic() - began)
        began = time.monotonic()
        kube.create(services.autoscaled(name))
        eventually(
            "HorizontalPodAutoscaler, the last child",
            lambda name=name: kube.get("HorizontalPodAutoscaler", name),
        )
        waits.append(time.monotonic() - began)
        services.wait_ready(kube, name)  # its pods are not the next one's load
    # Where the machine is busy with other things, as many bare creations take long, too.
    assert statistics.median(waits) < max(0.5, 8 * statistics.median(alone)), (waits, alone)


def test_ready_follows_the_pod_within_two_seconds(operator: Operator, kube: Kube) -> None:
    waits: list[float] = []
    for attempt in range(5):
        name = f"loads-{attempt}"
        kube.create(services.minimal(name, ready_after="2s"))
        services.wait_not_ready(kube, name)

        def pod_ready(name: str = name) -> bool:
            pods = kube.list("Pod", f"app.kubernetes.io/instance={name}")
            return any(
                c["type"] == "Ready" and c["status"] == "True"
                for pod in pods
                for c in pod["status"].get("conditions", ())
            )

        eventually("the pod is ready", pod_ready)
        began = time.monotonic()
        services.wait_ready(kube, name)
        waits.append(time.monotonic() - began)
    assert statistics.median(waits) < 2, waits


def test_a_pod_that_is_not_ready_yet_shows_as_progress(operator: Operator, kube: Kube) -> None:
    kube.create(services.minimal("slow", ready_after="1h"))

    services.wait_condition(kube, "slow", "Ready", "False", "Starting")
    service = kube.there("LLMService", "slow")
    assert condition(service, "Progressing")["status"] == "True"
    assert condition(service, "Reconciling")["status"] == "True"
    assert condition(service, "Degraded")["status"] == "False"
    assert not condition(service, "Stalled")
    assert condition(service, "Ready")["message"] == "0 of 1 pod answer yet"


def test_deleting_the_resource_removes_all_of_it(operator: Operator, kube: Kube) -> None:
    kube.create(services.autoscaled("gone"))
    services.wait_ready(kube, "gone")
    assert len(kube.children("gone")) == 6

    kube.delete("LLMService", "gone")

    eventually("no children", lambda: not kube.children("gone"))
    eventually("no pods", lambda: not kube.list("Pod"))


def test_a_resource_recreated_at_once_gets_children_of_its_own(
    operator: Operator, kube: Kube
) -> None:
    kube.create(services.minimal("again"))
    services.wait_ready(kube, "again")
    kube.delete("LLMService", "again")
    uid = kube.create(services.minimal("again"))["metadata"]["uid"]

    def all_ours() -> bool:
        children = kube.children("again")
        owners = {c["metadata"]["ownerReferences"][0]["uid"] for c in children.values()}
        return {child.split()[0] for child in children} == _KINDS and owners == {uid}

    eventually("children of the new resource only", all_ours)
    services.wait_ready(kube, "again")


def test_a_change_rolls_out_and_old_configuration_goes_last(operator: Operator, kube: Kube) -> None:
    kube.create(services.minimal("roll"))
    services.wait_ready(kube, "roll")
    (old,) = [c for c in kube.children("roll") if c.startswith("ConfigMap")]
    change = {"args": {"max-model-len": 2048}, "image": "mine:2"}

    kube.merge("LLMService", "roll", {"spec": {"engine": change}})

    def present() -> set[str]:
        return {c for c in kube.children("roll") if c.startswith("ConfigMap")}

    def settled() -> bool:
        before = present()
        pods = _staying(kube)
        after = present()
        used = {
            f"ConfigMap {volume['configMap']['name']}"
            for pod in pods
            for volume in pod["spec"]["volumes"]
            if "configMap" in volume
        }
        assert used <= before | after, "a pod's ConfigMap was removed under it"
        return len(after) == 1 and old not in after and used == after

    eventually("one ConfigMap, the newest", settled)
    services.wait_condition(kube, "roll", "Progressing", "False", "UpToDate")
    (pod,) = _staying(kube)
    assert pod["spec"]["containers"][0]["image"] == "mine:2"


def _staying(kube: Kube) -> list[Manifest]:
    """The pods that are not ending."""
    return [pod for pod in kube.list("Pod") if "deletionTimestamp" not in pod["metadata"]]


def test_a_new_image_replaces_one_pod_after_the_other(operator: Operator, kube: Kube) -> None:
    kube.create(services.minimal("image", replicas=2))
    services.wait_ready(kube, "image")
    (old,) = kube.list("ReplicaSet")

    kube.merge("LLMService", "image", {"spec": {"engine": {"image": "mine:2"}}})

    most, fewest = 0, 2

    def replaced() -> bool:
        nonlocal most, fewest
        status = kube.there("Deployment", "image")["status"]
        most = max(most, status["replicas"])
        fewest = min(fewest, status.get("readyReplicas", 0))
        sets = kube.list("ReplicaSet")
        full = {s["metadata"]["uid"] for s in sets if s["status"].get("readyReplicas") == 2}
        return len(sets) == 2 and bool(full) and full != {old["metadata"]["uid"]}

    eventually("two pods of a new ReplicaSet", replaced)
    services.wait_ready(kube, "image")
    assert (most, fewest) == (3, 2)
    (image,) = {p["spec"]["containers"][0]["image"] for p in _staying(kube)}
    assert image == "mine:2"


def test_a_resource_goes_over_to_a_sqlite_and_back(operator: Operator, kube: Kube) -> None:
    kube.create(services.minimal("kept"))
    services.wait_ready(kube, "kept")
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}}
    asked = {"accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": "1Gi"}}}
    kube.create({**claim, "spec": {**asked, "storageClassName": "none"}})

    def replaced_by(strategy: str) -> bool:
        return kube.there("Deployment", "kept")["spec"]["strategy"]["type"] == strategy

    sqlite = {"database": {"sqlite": {"claimName": "data"}}}
    kube.merge("LLMService", "kept", {"spec": {"rollout": {"strategy": "Replace"}}})
    kube.merge("LLMService", "kept", {"spec": {"gateway": sqlite}})
    eventually("the next pod waits for the end of the one before", lambda: replaced_by("Recreate"))

    kube.merge("LLMService", "kept", {"spec": {"gateway": {"database": None}}})
    eventually("it does not any more", lambda: replaced_by("RollingUpdate"))
    services.wait_ready(kube, "kept")
