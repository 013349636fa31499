"""Others who write what the operator writes or reads: again and again, or nonsense."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from llmservice_operator.contest import AT_ONCE, FIRST_PAUSE, LONGEST_PAUSE

from tests.cluster import services
from tests.cluster.faults.proxy import Proxy
from tests.cluster.kube import Kube, RefusedError
from tests.cluster.operator_process import Operator
from tests.length import lasting

_FIGHT = lasting(5.0, 60.0)  # seconds


def _most(seconds: float) -> int:
    """How often in that time a child is taken back from somebody who never stops."""
    times, pause = AT_ONCE, FIRST_PAUSE
    while seconds >= pause:
        times, seconds, pause = times + 1, seconds - pause, min(2 * pause, LONGEST_PAUSE)
    return times


pytestmark = pytest.mark.timeout(600)


@contextmanager
def _again_and_again(write: Callable[[int], object]) -> Iterator[None]:
    over = threading.Event()

    def go_on() -> None:
        number = 0
        while not over.wait(0.05):
            number += 1
            with suppress(RefusedError):
                write(number)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_fight_over_a_field_and_one_over_a_childs_being_there(
    behind: Operator, proxy: Proxy, kube: Kube, converged: Callable[..., None]
) -> None:
    for name in ("fought", "deleted"):
        kube.create(services.minimal(name))
    converged("fought", "deleted")
    before, began = proxy.writes.copy(), time.monotonic()

    def rival(number: int) -> None:
        patch = {"spec": {"maxUnavailable": 5 + number % 7}}
        kube.merge("PodDisruptionBudget", "fought", patch, manager="rival")
        kube.delete("Service", "deleted")

    with _again_and_again(rival):
        time.sleep(_FIGHT / 2)
        kube.create(services.minimal("beside"))
        services.wait_ready(kube, "beside")
        time.sleep(_FIGHT / 2)
        found = services.wait_condition(kube, "fought", "Degraded", "True", "FieldConflict")
        told = services.wait_condition(kube, "deleted", "Degraded", "True", "FieldConflict")
    written, lasted = proxy.writes - before, time.monotonic() - began

    assert "PodDisruptionBudget fought is changed again and again" in found["message"]
    assert "(spec.maxUnavailable, by rival)" in found["message"]
    assert told["message"].split(";")[0] == "Service deleted is deleted again and again"
    beside = 1  # of each kind, that of the third one
    assert written["PATCH poddisruptionbudgets"] <= _most(lasted) + beside
    assert written["PATCH services"] <= _most(lasted) + beside
    assert written["PATCH llmservices"] <= 20
    converged("fought", "deleted", "beside", seconds=200)


_LARGE = "x" * 200_000


def test_a_status_of_200_kb_and_garbage_in_what_is_read(
    behind: Operator, kube: Kube, converged: Callable[..., None]
) -> None:
    for name in ("large", "odd"):
        kube.create(services.autoscaled(name))
    converged("large", "odd")
    now = "2026-01-01T00:00:00Z"
    conditions = [
        {
            "type": f"Odd{number}",
            "status": "Unknown",
            "reason": "Odd",
            "message": "x" * 20_000,
            "lastTransitionTime": now,
        }
        for number in range(12)
    ]
    kube.merge("LLMService", "large", {"status": {"conditions": conditions}}, "status")
    nonsense = {"replicas": 10**9, "observedGeneration": 10**9, "url": "x" * 1000, "selector": "?"}
    kube.merge("LLMService", "odd", {"status": {**nonsense, "conditions": None}}, "status")
    annotations = {"llmservice.io/applied-hash": _LARGE}
    kube.merge("Service", "large", {"metadata": {"annotations": annotations}})
    kube.merge("Deployment", "odd", {"metadata": {"annotations": annotations}})
    failed = {"type": "ReplicaFailure", "status": "True"}  # without a reason or a message
    kube.merge("Deployment", "odd", {"status": {"conditions": [failed]}}, "status")
    kube.merge("HorizontalPodAutoscaler", "odd", {"status": {"desiredReplicas": 0}}, "status")
    pod = kube.list("Pod", "app.kubernetes.io/instance=large")[0]["metadata"]["name"]
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": _LARGE}}
    container = {"name": "server", "image": "", "imageID": "", "restartCount": 0, "ready": False}
    status = {"containerStatuses": [{**container, "state": waiting}], "conditions": []}
    kube.merge("Pod", pod, {"status": status}, "status")

    found = services.wait_condition(kube, "large", "Degraded", "True", "ImagePullFailed")
    assert len(found["message"]) < 1000
    kube.delete("Pod", pod)
    converged("large", "odd")


def test_objects_that_look_like_ours_and_are_not(
    behind: Operator, kube: Kube, converged: Callable[..., None]
) -> None:
    kube.create(services.minimal("real"))
    converged("real")
    labels = {
        "app.kubernetes.io/name": "llmservice",
        "app.kubernetes.io/instance": "real",
        "app.kubernetes.io/managed-by": "llmservice-operator",
    }
    metadata = {"name": "like-ours", "labels": labels}
    kube.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    restricted = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "c", "image": "none", "securityContext": restricted}
    volumes = [{"name": "a", "configMap": {"optional": True, "name": "nowhere"}}]
    kube.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**metadata, "annotations": {"x": _LARGE}},
            "spec": {"containers": [container], "volumes": volumes, "schedulerName": "nobody"},
        }
    )
    kube.delete("Deployment", "real")
    services.wait_condition(kube, "real", "Ready", "True", "Serving")
    kube.delete("Pod", "like-ours")
    kube.delete("ServiceAccount", "like-ours")
    converged("real")
