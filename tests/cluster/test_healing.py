"""Whatever is done to the children, they come back as they were, and what others add stays.

And then nothing is written any more.
"""

import contextlib
import time
from collections import Counter

import pytest

from tests.cluster import services, writes
from tests.cluster.kube import Kube, Manifest, eventually
from tests.cluster.operator_process import Operator

_EDITS: dict[str, Manifest] = {
    "ServiceAccount": {"automountServiceAccountToken": True},
    "Service": {"spec": {"selector": {"app.kubernetes.io/instance": "other"}}},
    "Deployment": {"spec": {"paused": True, "template": {"spec": {"enableServiceLinks": True}}}},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": 7}},
    "HorizontalPodAutoscaler": {"spec": {"maxReplicas": 9}},
}
_LABELS = {"metadata": {"labels": {"app.kubernetes.io/name": "other"}}}


def _content(child: Manifest) -> Manifest:
    """What an owner cares about: no versions, times, status or counts of revisions."""
    metadata = {k: child["metadata"].get(k) for k in ("name", "labels", "annotations")}
    counted = "deployment.kubernetes.io/revision"
    notes = {k: v for k, v in (metadata["annotations"] or {}).items() if k != counted}
    rest = {k: v for k, v in child.items() if k not in ("apiVersion", "metadata", "status")}
    if child["kind"] == "Service":
        rest["spec"] = {k: v for k, v in rest["spec"].items() if not k.startswith("clusterIP")}
    return {**rest, "metadata": {**metadata, "annotations": notes}}


@pytest.fixture
def healthy(operator: Operator, kube: Kube) -> dict[str, Manifest]:
    """A resource with a child of every kind, by kind."""
    kube.create(services.autoscaled("heal"))
    services.wait_ready(kube, "heal")
    return {name.split()[0]: child for name, child in kube.children("heal").items()}


def _healed(kube: Kube, was: Manifest) -> None:
    kind, name, wanted = was["kind"], was["metadata"]["name"], _content(was)
    seen: Manifest = {}

    def same() -> bool:
        nonlocal seen
        found = kube.get(kind, name)
        seen = _content({"kind": kind, **found}) if found else {}
        return seen == wanted

    with contextlib.suppress(AssertionError):
        eventually(f"{kind} is as it was", same)
    assert seen == wanted


def test_every_deleted_or_edited_child_comes_back(
    healthy: dict[str, Manifest], operator: Operator, kube: Kube
) -> None:
    was = {kind: {**child, "kind": kind} for kind, child in healthy.items()}
    for kind, child in was.items():
        kube.delete(kind, child["metadata"]["name"])
    for child in was.values():
        _healed(kube, child)
        now = kube.there(child["kind"], child["metadata"]["name"])
        assert now["metadata"]["uid"] != child["metadata"]["uid"], "it was never deleted"

    for kind, child in was.items():
        for edit in (_EDITS.get(kind), _LABELS):
            if edit:
                kube.merge(kind, child["metadata"]["name"], edit)
    for child in was.values():
        _healed(kube, child)

    writes.until_quiet(operator)


def test_what_opens_the_pods_to_their_node_is_closed_again(
    healthy: dict[str, Manifest], operator: Operator, kube: Kube
) -> None:
    security = {
        "privileged": True,
        "allowPrivilegeEscalation": True,
        "capabilities": {"add": ["SYS_ADMIN"]},
    }
    host = {"hostNetwork": True, "hostPID": True, "hostIPC": True}
    opened = {**host, "containers": [{"name": "server", "securityContext": security}]}

    kube.strategic("Deployment", "heal", {"spec": {"template": {"spec": opened}}})

    _healed(kube, {**healthy["Deployment"], "kind": "Deployment"})
    writes.until_quiet(operator)


def test_a_deleted_pod_is_replaced_and_the_status_says_so(
    healthy: dict[str, Manifest], kube: Kube
) -> None:
    pods = kube.list("Pod")
    for pod in pods:
        kube.delete("Pod", pod["metadata"]["name"])

    def replaced() -> bool:
        now = {p["metadata"]["uid"] for p in kube.list("Pod")}
        return len(now) == 2 and not now & {p["metadata"]["uid"] for p in pods}

    eventually("two new pods", replaced)
    services.wait_ready(kube, "heal")


def test_what_others_add_to_our_children_stays(
    healthy: dict[str, Manifest], operator: Operator, kube: Kube
) -> None:
    label = {"metadata": {"labels": {"policy.example.com/checked": "yes"}}}
    sidecar = {
        "name": "proxy",
        "image": "proxy:1",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    kube.merge("Service", "heal", label)
    kube.strategic(
        "Deployment", "heal", {"spec": {"template": {"spec": {"containers": [sidecar]}}}}
    )
    before = writes.until_quiet(operator)

    kube.merge("LLMService", "heal", {"spec": {"disruption": {"maxUnavailable": 2}}})
    eventually(
        "the budget follows",
        lambda: kube.there("PodDisruptionBudget", "heal")["spec"]["maxUnavailable"] == 2,
    )
    assert "policy.example.com/checked" in kube.there("Service", "heal")["metadata"]["labels"]
    deployment = kube.there("Deployment", "heal")
    assert {c["name"] for c in deployment["spec"]["template"]["spec"]["containers"]} == {
        "server",
        "proxy",
    }
    written = writes.until_quiet(operator) - before
    assert written["PATCH PodDisruptionBudget"] == 1
    assert written["PATCH Deployment"] == written["PATCH Service"] == 0


def test_nothing_is_written_when_nothing_changes_nor_after_a_restart(
    operator: Operator, kube: Kube
) -> None:
    kube.create(services.autoscaled("quiet"))
    services.wait_ready(kube, "quiet")
    before = writes.until_quiet(operator)
    time.sleep(6)  # longer than the Lease's period
    assert writes.count(operator) - before == Counter()

    operator.stop()
    operator.start()

    reconciled = 'controller_runtime_reconcile_total{controller="llmservice",result="success"}'
    operator.wait(lambda: operator.metric(reconciled) >= 1, "done with its first reconciles")
    time.sleep(2)
    assert writes.count(operator) == Counter()  # of the new process


def test_drift_while_the_operator_was_down_is_healed_when_it_is_back(
    healthy: dict[str, Manifest], operator: Operator, kube: Kube
) -> None:
    operator.stop()
    edited = {**healthy["Service"], "kind": "Service"}
    kube.merge("Service", "heal", _EDITS["Service"])
    gone = {**healthy["ServiceAccount"], "kind": "ServiceAccount"}
    kube.delete("ServiceAccount", "heal")
    kube.merge("LLMService", "heal", {"spec": {"disruption": {"maxUnavailable": 3}}})

    operator.start()

    _healed(kube, edited)
    _healed(kube, gone)
    eventually(
        "what was asked for meanwhile",
        lambda: kube.there("PodDisruptionBudget", "heal")["spec"]["maxUnavailable"] == 3,
    )
