"""The floor: the same children and the same changes with no operator at all.

What the API server, the controllers and the fake nodes need for themselves on this machine now;
nobody can be faster.
"""

import time
from dataclasses import dataclass

from bench.operator import workload
from bench.operator.api import JSON_PATCH, Api, all_of
from bench.operator.machine import Machine
from bench.operator.view import Ref, View

_IMAGE_AT = "/spec/template/spec/containers/0/image"


@dataclass(frozen=True)
class Floor:
    """Seconds until all children were there and all Deployments ready; until all Deployments had
    another image, and until all of their pods had it.
    """

    children: float
    ready: float
    changed: float
    replaced: float


async def measure(api: Api, view: View, machine: Machine, resources: int, limit: float) -> Floor:
    numbers = range(resources)
    manifests = [m for n in numbers for m in workload.children(workload.resource(n))]
    deployments = [Ref("Deployment", workload.name(n)) for n in numbers]
    refs = workload.refs(manifests)

    with machine.span("floor: create"):
        begun = time.monotonic()
        await all_of(api.create(manifest) for manifest in manifests)
        children = await view.until("children", lambda: view.there(refs), len(refs), limit)
        ready = await view.until(
            "ready", lambda: view.count(deployments, lambda d: d.ready), resources, limit
        )
        created = children - begun, ready - begun

    patch = [{"op": "replace", "path": _IMAGE_AT, "value": workload.NEXT_IMAGE}]
    with machine.span("floor: change all"):
        begun = time.monotonic()
        await all_of(
            api.patch("Deployment", workload.NAMESPACE, ref.name, patch, JSON_PATCH)
            for ref in deployments
        )
        changed = await view.until(
            "changed",
            lambda: view.count(deployments, lambda d: d.image == workload.NEXT_IMAGE),
            resources,
            limit,
        )
        replaced = await view.until(
            "replaced", lambda: view.count(deployments, lambda d: d.settled), resources, limit
        )
    return Floor(*created, changed - begun, replaced - begun)
