"""How far the newest start of a pod has come, and how long each of its phases took. Pure.

A phase has the time of its start while it lasts and its seconds once it has ended: nothing here
changes with the clock. What a start took stays as it was told, for a pod that is not ready for a
while moves the only date that says when it was. After a restart nobody knows any more: a server
that ends is a trouble, and told as one.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.records import Loading, Pod

_WORDS = {
    "Starting": "starting its engine",
    "Downloading": "downloading the model",
    "Weights": "loading the weights",
    "Compiling": "compiling",
    "WarmingUp": "warming up",
    "Completion": "trying a completion",
}


def startup(pods: Sequence[Pod], before: Any) -> Manifest | None:
    """status.startup: of a pod that starts, if there is one, else of the one that started last.

    before: what it was.
    """
    told = [(pod.start.created, s) for pod in pods if (s := _kept(pod, before) or _of(pod))]
    newest = max(told, key=lambda t: (t[1]["phase"] != "Ready", t[0], t[1]["pod"]), default=None)
    return newest[1] if newest else None


def in_words(loading: Loading) -> str:
    """What a server does, after "is"."""
    percent = "" if loading.progress is None else f", {loading.progress} %"
    return f"{_WORDS[loading.phase]}{percent}"


def _kept(pod: Pod, before: Any) -> Manifest | None:
    if not isinstance(before, dict) or pod.last_exit:
        return None
    known = cast("Manifest", before)
    return known if (known.get("pod"), known.get("phase")) == (pod.ref.name, "Ready") else None


def _of(pod: Pod) -> Manifest | None:
    start = pod.start
    unknown = pod.ready and not (start.scheduled and start.running)
    if unknown or start.restarted or pod.last_exit or not start.created:
        return None
    told: Manifest = {"pod": pod.ref.name}
    if not start.scheduled:
        return {**told, "phase": "Scheduling", "since": start.created}
    told["schedulingSeconds"] = _seconds(start.created, start.scheduled)
    if not start.running:
        return {**told, "phase": "Pulling", "since": start.scheduled}
    told["pullingSeconds"] = _seconds(start.scheduled, start.running)
    if not start.ready:
        return {**told, "phase": "Loading", "since": start.running}
    return {**told, "phase": "Ready", "loadingSeconds": _seconds(start.running, start.ready)}


def _seconds(began: str, ended: str) -> int:
    passed = datetime.fromisoformat(ended) - datetime.fromisoformat(began)
    return max(round(passed.total_seconds()), 0)  # two machines' clocks
