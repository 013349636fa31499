"""The HorizontalPodAutoscaler, where the resource asks for autoscaling."""

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.resource import LLMService
from llmservice_operator.render.identity import metadata

_CPU_PERCENT = 70
# Of a proxy alone: its memory follows the streams that are open, a model server's does not.
_PROXY_MEMORY_PERCENT = 80

# Load rises in seconds and a replica takes minutes to load: up at once. A replica that was ended
# too early costs the same minutes again: down slowly, and one by one.
_SCALE_UP: Manifest = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Percent", "value": 100, "periodSeconds": 60},
        {"type": "Pods", "value": 4, "periodSeconds": 60},
    ],
}
_SCALE_DOWN: Manifest = {
    "stabilizationWindowSeconds": 300,
    "selectPolicy": "Max",
    "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
}


def autoscaler(service: LLMService) -> list[Manifest]:
    """The autoscaler, or nothing. It scales the Deployment itself, with or without the operator."""
    scaling = service.spec.autoscaling
    if scaling is None:
        return []
    behavior: Manifest = (
        scaling.behavior.model_dump(mode="json", by_alias=True, exclude_none=True)
        if scaling.behavior
        else {}
    )
    metrics = [_utilization("cpu", scaling.cpu or _CPU_PERCENT)]
    proxy = service.spec.engine.type == "proxy"
    if memory := scaling.memory or (_PROXY_MEMORY_PERCENT if proxy else None):
        metrics.append(_utilization("memory", memory))
    return [
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": metadata(service),
            "spec": {
                "scaleTargetRef": {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": service.metadata.name,
                },
                "minReplicas": scaling.min,
                "maxReplicas": scaling.max,
                "metrics": metrics,
                "behavior": {
                    "scaleUp": behavior.get("scaleUp", _SCALE_UP),
                    "scaleDown": behavior.get("scaleDown", _SCALE_DOWN),
                },
            },
        }
    ]


def _utilization(resource: str, percent: int) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": resource, "target": target}}
