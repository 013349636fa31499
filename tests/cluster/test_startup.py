"""A cold start is told in phases, each with one write.

Fake nodes run nothing: what a kubelet would report of a pod is written into the pod's status.
"""

import time
from typing import Any

from tests.cluster import services, writes
from tests.cluster.kube import Kube, Manifest, eventually
from tests.cluster.operator_process import Operator


def _startup(kube: Kube, name: str, phase: str) -> Manifest:
    def there() -> Manifest | None:
        told = kube.there("LLMService", name).get("status", {}).get("startup", {})
        return told if told.get("phase") == phase else None

    return eventually(f"{name} is {phase}", there, seconds=30)


def _condition(pod: Manifest, kind: str) -> Manifest:
    return next(c for c in pod["status"]["conditions"] if c["type"] == kind)


def test_a_start_is_told_phase_by_phase_and_never_ticks(operator: Operator, kube: Kube) -> None:
    before = writes.count(operator)["PATCH LLMService"]
    kube.create(services.minimal("cold", ready_after="1h"))

    pulling = _startup(kube, "cold", "Pulling")
    (pod,) = kube.list("Pod")
    name, scheduled = pod["metadata"]["name"], _condition(pod, "PodScheduled")
    assert pulling.pop("schedulingSeconds") <= 5
    assert pulling == {
        "pod": name,
        "phase": "Pulling",
        "since": scheduled["lastTransitionTime"],
    }

    def report(*, ready: bool) -> None:
        server: dict[str, Any] = {"name": "server", "image": "i", "imageID": "", "restartCount": 0}
        state = {"running": {"startedAt": began}}
        statuses = [{**server, "started": ready, "ready": ready, "state": state}]
        answers = {"type": "Ready", "status": str(ready), "lastTransitionTime": _now()}
        told = {"phase": "Running", "conditions": [scheduled, answers]}
        kube.merge("Pod", name, {"status": {**told, "containerStatuses": statuses}}, "status")

    began = _now()
    report(ready=False)
    loading = _startup(kube, "cold", "Loading")
    assert (loading["since"], loading["pod"]) == (began, name)
    assert loading["pullingSeconds"] >= 0
    assert writes.until_quiet(operator)["PATCH LLMService"] - before <= 3  # while it loads

    report(ready=True)
    services.wait_ready(kube, "cold")
    ready = kube.there("LLMService", "cold")["status"]["startup"]
    assert ready.keys() == {*loading.keys() - {"since"}, "loadingSeconds"}
    assert ready["loadingSeconds"] >= 2
    assert writes.until_quiet(operator)["PATCH LLMService"] - before <= 4


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
