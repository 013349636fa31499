"""What one replica asks of a node: requests and limits, tolerations, node labels.

Defaults are for a server whose owner wrote nothing, and are requests only: what is asked too high
costs a node, what is limited too low ends the server while it loads. CPU is always requested,
because autoscaling on CPU has nothing to measure against without it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.resource import LLMService
from llmservice_operator.placement import labels
from llmservice_operator.placement.affinity import node_affinity
from llmservice_operator.placement.amounts import Amounts, amounts
from llmservice_operator.placement.parameters import parameter_count

_GIBIBYTE = 2**30
_SERVER_MEMORY = 4  # GiB: Python, torch and the HTTP server, with one GPU's start-up peak
_MEMORY_PER_GPU = 6  # GiB: a worker process, its pinned buffers and its share of /dev/shm
_CPU_KV_CACHE = 4  # GiB: what vLLM sets aside for the KV cache on CPU by itself
_BYTES_PER_PARAMETER = 2  # bfloat16
# A proxy loads nothing: one core's worth of requests and a thousand streams are well below.
_PROXY_REQUESTS = {"cpu": "250m", "memory": "192Mi"}
_PROXY_LIMITS = {"memory": "1Gi"}


@dataclass(frozen=True)
class Demand:
    """What a node must have for one replica; Kubernetes quantities as written."""

    requests: Mapping[str, str]
    limits: Mapping[str, str]
    node_selector: Mapping[str, str]
    node_affinity: Manifest | None
    tolerations: tuple[Manifest, ...]
    amounts: Amounts
    """The requests as numbers, extended resources first: they are the scarce ones."""


def demand(service: LLMService) -> Demand:
    """What one replica of the service asks of a node."""
    pod, gpu = service.spec.pod, service.spec.gpu
    written = pod.resources
    limits = dict(written.limits or {}) if written else {}
    # A limit alone is a request too, as everywhere in Kubernetes.
    requests = _default_requests(service) | limits
    if service.spec.model is None and "memory" not in ((written and written.requests) or {}):
        limits = _PROXY_LIMITS | limits
    requests |= dict(written.requests or {}) if written else {}
    tolerations: list[Manifest] = []
    if gpu is not None:
        # Extended resources cannot be overcommitted: request and limit are one.
        if gpu.claim_template is None:
            requests[gpu.resource] = limits[gpu.resource] = str(gpu.devices)
        # Nodes that offer slices of a card are tainted by the card's name.
        keys = {gpu.resource}
        keys |= {f"{v}gpu" for v in (labels.NVIDIA, labels.AMD) if gpu.resource.startswith(v)}
        tolerations += [
            {"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in sorted(keys)
        ]
    tolerations += [
        t.model_dump(mode="json", by_alias=True, exclude_none=True) for t in pod.tolerations
    ]
    return Demand(
        requests=requests,
        limits=limits,
        node_selector=dict(pod.node_selector or {}),
        node_affinity=node_affinity(gpu),
        tolerations=tuple(tolerations),
        amounts=tuple(sorted(amounts(requests).items(), key=lambda item: "/" not in item[0])),
    )


def _default_requests(service: LLMService) -> dict[str, str]:
    gpu, model = service.spec.gpu, service.spec.model
    if model is None:
        return _PROXY_REQUESTS
    if gpu is not None:
        # vLLM busies one core a worker and one for the API and the scheduler together.
        memory = _SERVER_MEMORY + _MEMORY_PER_GPU * gpu.devices
        return {"cpu": str(1 + gpu.devices), "memory": f"{memory}Gi"}
    weights = (parameter_count(model.uri) or 0) * _BYTES_PER_PARAMETER / _GIBIBYTE
    return {"cpu": "1", "memory": f"{_SERVER_MEMORY + _CPU_KV_CACHE + math.ceil(weights)}Gi"}
