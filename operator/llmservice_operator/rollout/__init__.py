"""From what is wanted and what is there to what is written next. Pure.

Promises: step() called again after each write, whatever was lost or repeated between, ends with
the wanted children and an empty difference. Children that nothing renders any more go, but a
ConfigMap only once the Deployment that does not need it is written and complete, so that no older
ReplicaSet can start a pod that does, and no pod mentions it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.kinds import CHILDREN
from llmservice_operator.observed import Observed
from llmservice_operator.ownership import digest_of
from llmservice_operator.records import Child, Ref
from llmservice_operator.rollout.replicas import with_replicas

__all__ = ["Plan", "rollout_complete", "step"]

_ORDER = {kind: place for place, kind in enumerate(CHILDREN)}


@dataclass(frozen=True)
class Plan:
    """prune first, then apply, each in order."""

    prune: tuple[Child, ...]
    apply: tuple[Manifest, ...]


def step(desired: Sequence[Manifest], observed: Observed) -> Plan:
    """Strategy Surge: the Deployment's own rolling update does the work.

    desired: stamped (see ownership.py).
    """
    ordered = sorted(desired, key=lambda manifest: _ORDER[manifest["kind"]])
    wanted = {ref_of(manifest) for manifest in desired}
    surplus = [c for c in observed.children if c.ref not in wanted and not c.deleting]
    serving = Ref("Deployment", *observed.resource.key)
    settled = any(_settled(m, observed) for m in desired if ref_of(m) == serving)
    # An autoscaler goes before the Deployment takes its replicas back, or the two would fight.
    return Plan(
        prune=tuple(c for c in surplus if not _needed(c, observed, settled=settled)),
        apply=tuple(with_replicas(ordered, observed)),
    )


def ref_of(manifest: Manifest) -> Ref:
    meta = manifest["metadata"]
    return Ref(manifest["kind"], meta["namespace"], meta["name"])


def rollout_complete(deployment: Child | None) -> bool:
    """Do all of the Deployment's pods, by its own account, have its newest template?"""
    if deployment is None:
        return False
    status = deployment.status
    return (
        status.get("observedGeneration", 0) >= deployment.generation
        and status.get("updatedReplicas", 0) == status.get("replicas", 0)
        and status.get("unavailableReplicas", 0) == 0
    )


def _settled(deployment: Manifest, observed: Observed) -> bool:
    live = observed.child("Deployment", deployment["metadata"]["name"])
    written = live is not None and live.applied == digest_of(deployment)
    return written and rollout_complete(live)


def _needed(child: Child, observed: Observed, *, settled: bool) -> bool:
    if child.ref.kind != "ConfigMap":
        return False
    mentioned = any(child.ref.name in pod.config_maps for pod in observed.pods)
    return not settled or mentioned or "Pod" in observed.unseen
