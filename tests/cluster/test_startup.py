"""A cold start is told in phases, each with one write.

Fake nodes run nothing: what a kubelet would report of a pod is written into the pod's status.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from llmservice_operator.loading import FIRST, PAUSE
from llmservice_operator.render.container import PORT

from tests.cluster import services, writes
from tests.cluster.kube import Kube, Manifest, condition, eventually
from tests.cluster.operator_process import Operator


def _startup(kube: Kube, name: str, phase: str) -> Manifest:
    def there() -> Manifest | None:
        told = kube.there("LLMService", name).get("status", {}).get("startup", {})
        return told if told.get("phase") == phase else None

    return eventually(f"{name} is {phase}", there)


def _condition(pod: Manifest, kind: str) -> Manifest:
    return next(c for c in pod["status"]["conditions"] if c["type"] == kind)


def test_a_start_is_told_phase_by_phase_and_never_ticks(operator: Operator, kube: Kube) -> None:
    before = writes.count(operator)["PATCH LLMService"]
    kube.create(services.minimal("cold", ready_after="1h"))

    pulling = _startup(kube, "cold", "Pulling")
    (pod,) = kube.list("Pod")
    name, scheduled = pod["metadata"]["name"], _condition(pod, "PodScheduled")
    made, placed = pod["metadata"]["creationTimestamp"], scheduled["lastTransitionTime"]
    assert pulling.pop("schedulingSeconds") == _seconds(made, placed)
    assert pulling == {
        "pod": name,
        "phase": "Pulling",
        "since": placed,
    }

    began = _now()
    _report(kube, pod, began, ready=False)
    loading = _startup(kube, "cold", "Loading")
    assert (loading["since"], loading["pod"]) == (began, name)
    assert loading["pullingSeconds"] >= 0
    assert writes.until_quiet(operator)["PATCH LLMService"] - before <= 3  # while it loads

    _report(kube, pod, began, ready=True)
    services.wait_ready(kube, "cold")
    ready = kube.there("LLMService", "cold")["status"]["startup"]
    assert ready.keys() == {*loading.keys() - {"since"}, "loadingSeconds"}
    assert ready["loadingSeconds"] >= 2
    assert writes.until_quiet(operator)["PATCH LLMService"] - before <= 4


def test_what_a_loading_server_says_is_told_by_phase_and_quarter(
    operator: Operator, kube: Kube
) -> None:
    """The pod's address is one of this machine, where a stand-in for its server answers."""
    weights = {"phase": "weights", "since": _now(), "progress": 30}
    with _server("127.7.7.7", weights) as asked:
        kube.create(services.minimal("says", ready_after="1h"))
        _startup(kube, "says", "Pulling")
        (pod,) = kube.list("Pod")
        began = _now()
        _report(kube, pod, began, ready=False, address="127.7.7.7")

        told = _loading(kube, {**weights, "phase": "Weights", "progress": 25}, FIRST)
        assert told["since"] == began
        service = kube.there("LLMService", "says")
        for kind in ("Ready", "Progressing"):
            words = condition(service, kind)["message"]
            assert words == "0 of 1 pod answer yet: it is loading the weights, 25 %"

        before, questions = writes.until_quiet(operator)["PATCH LLMService"], len(asked)
        weights["progress"] = 49  # of the same quarter
        eventually("it is asked again", lambda: len(asked) > questions + 1, 4 * PAUSE)
        assert writes.count(operator)["PATCH LLMService"] == before
        weights |= {"phase": "warming-up", "since": _now()}
        del weights["progress"]
        _loading(kube, {**weights, "phase": "WarmingUp"}, PAUSE)
        assert writes.until_quiet(operator)["PATCH LLMService"] == before + 1

        _report(kube, pod, began, ready=True, address="127.7.7.7")
        services.wait_ready(kube, "says")
        assert "loading" not in kube.there("LLMService", "says")["status"]["startup"]
        questions = len(asked)
        time.sleep(2 * PAUSE)
        assert len(asked) == questions


def _loading(kube: Kube, wanted: Manifest, seconds: float) -> Manifest:
    """status.startup, once its `loading` is this."""

    def there() -> Manifest | None:
        told = kube.there("LLMService", "says")["status"]["startup"]
        return told if told.get("loading") == wanted else None

    return eventually(f"{wanted} is told", there, seconds=seconds + 20)


@contextmanager
def _server(address: str, says: Manifest) -> Iterator[list[str]]:
    """A server that loads; returns the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(503)
            self.end_headers()
            self.wfile.write(json.dumps({"status": "loading", **says}).encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer((address, PORT), Handler) as listening:
        Thread(target=listening.serve_forever, daemon=True).start()
        yield asked
        listening.shutdown()


def _report(kube: Kube, pod: Manifest, began: str, *, ready: bool, address: str = "") -> None:
    """What a kubelet would."""
    server: dict[str, Any] = {"name": "server", "image": "i", "imageID": "", "restartCount": 0}
    state = {"running": {"startedAt": began}}
    statuses = [{**server, "started": ready, "ready": ready, "state": state}]
    answers = {"type": "Ready", "status": str(ready), "lastTransitionTime": _now()}
    told: Manifest = {"phase": "Running", "containerStatuses": statuses}
    told["conditions"] = [_condition(pod, "PodScheduled"), answers]
    if address:
        told |= {"podIP": address, "podIPs": [{"ip": address}]}
    kube.merge("Pod", pod["metadata"]["name"], {"status": told}, "status")


def _seconds(begin: str, end: str) -> float:
    since, until = map(datetime.fromisoformat, (begin, end))
    return (until - since).total_seconds()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
