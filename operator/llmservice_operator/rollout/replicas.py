"""Who says how many replicas: the resource, or its autoscaler. Never both, never nobody. Pure.

Where an autoscaler exists, the Deployment is rendered without replicas. Leaving out a field that
we alone own would reset it to 1, so for as long as we own it we go on saying the number that is
there; the autoscaler's first change takes it over, and from then on we say nothing. A Deployment
that has to be made anew starts with the number that the autoscaler wanted last, or its minimum.
Where we may not see autoscalers, any Deployment may have one, and keeps the number that it has.
"""

from collections.abc import Iterable, Sequence

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.observed import Observed
from llmservice_operator.ownership import owns_replicas, stamped
from llmservice_operator.records import Child

_SCALER = "HorizontalPodAutoscaler"


def with_replicas(desired: Sequence[Manifest], observed: Observed) -> Iterable[Manifest]:
    """desired, with the Deployment's replicas written where we have to hold them."""
    for manifest in desired:
        if manifest["kind"] == "Deployment":
            live = observed.child("Deployment", manifest["metadata"]["name"])
            given = manifest["spec"].get("replicas")
            if given is None:
                yield _held(manifest, live) if live else _with(manifest, _start(desired, observed))
                continue
            if live and live.replicas != given and _SCALER in observed.unseen:
                yield _held(_without(manifest), live)
                continue
        yield manifest


def _held(manifest: Manifest, live: Child) -> Manifest:
    """With the number that is there, for as long as it is ours to say."""
    if live.replicas is None or not owns_replicas(live.owned):
        return manifest
    # Only if nobody scaled it meanwhile: the version makes the server refuse otherwise.
    return _with(manifest, live.replicas, {"resourceVersion": str(live.version)})


def _without(manifest: Manifest) -> Manifest:
    spec = {name: value for name, value in manifest["spec"].items() if name != "replicas"}
    return stamped({**manifest, "spec": spec})


def _with(manifest: Manifest, replicas: int | None, metadata: Manifest | None = None) -> Manifest:
    if replicas is None:
        return manifest
    return {
        **manifest,
        "metadata": {**manifest["metadata"], **(metadata or {})},
        "spec": {**manifest["spec"], "replicas": replicas},
    }


def _start(desired: Sequence[Manifest], observed: Observed) -> int | None:
    for manifest in desired:
        if manifest["kind"] == _SCALER:
            scaler = observed.child(_SCALER, manifest["metadata"]["name"])
            last = scaler.status.get("desiredReplicas", 0) if scaler else 0
            return max(last, manifest["spec"].get("minReplicas", 1))
    return None
