"""The pod of one replica: where it runs, as whom, and with which volumes."""

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.resource import LLMService
from llmservice_operator.placement.demand import demand
from llmservice_operator.render.configuration import GRACE_SECONDS
from llmservice_operator.render.container import CLAIM, container
from llmservice_operator.render.defaults import RenderDefaults
from llmservice_operator.render.identity import labels, selector
from llmservice_operator.render.restricted import restricted_pod
from llmservice_operator.render.volumes import volumes

_SHUTDOWN_SECONDS = 15


def pod_template(service: LLMService, defaults: RenderDefaults, config_map: str) -> Manifest:
    """The Deployment's template."""
    pod, asked = service.spec.pod, demand(service)
    optional: Manifest = {
        "topologySpreadConstraints": _spread(service),
        "nodeSelector": dict(asked.node_selector),
        "tolerations": list(asked.tolerations),
        "priorityClassName": pod.priority_class_name,
        "runtimeClassName": pod.runtime_class_name,
        "resourceClaims": _claims(service),
        "imagePullSecrets": [{"name": secret.name} for secret in pod.image_pull_secrets],
    }
    return {
        "metadata": {
            "labels": {**(pod.labels or {}), **labels(service), **selector(service)},
            "annotations": {
                "kubectl.kubernetes.io/default-container": "server",
                **(pod.annotations or {}),
            },
        },
        "spec": {
            **restricted_pod(service.metadata.name),
            # Serve on while proxies learn of the end, finish what is in flight, shut down.
            "terminationGracePeriodSeconds": (
                GRACE_SECONDS + service.spec.rollout.drain_seconds + _SHUTDOWN_SECONDS
            ),
            "affinity": {
                **({"nodeAffinity": asked.node_affinity} if asked.node_affinity else {}),
                "podAntiAffinity": _apart(service),
            },
            **{key: value for key, value in optional.items() if value},
            "containers": [container(service, defaults, asked)],
            "volumes": volumes(service, config_map),
        },
    }


def _claims(service: LLMService) -> list[Manifest]:
    template = service.spec.gpu and service.spec.gpu.claim_template
    return [{"name": CLAIM, "resourceClaimTemplateName": template}] if template else []


def _apart(service: LLMService) -> Manifest:
    """Replicas on different nodes where that is possible, so that one node is not the service."""
    return {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 100,
                "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": selector(service)},
                },
            }
        ]
    }


def _spread(service: LLMService) -> list[Manifest]:
    written = service.spec.pod.topology_spread
    if written is None:
        constraints: list[Manifest] = [
            {
                "topologyKey": "topology.kubernetes.io/zone",
                "maxSkew": 1,
                "whenUnsatisfiable": "ScheduleAnyway",
            }
        ]
    else:
        constraints = [constraint.model_dump(mode="json", by_alias=True) for constraint in written]
    return [
        {
            **constraint,
            "labelSelector": {"matchLabels": selector(service)},
            # Old pods, which a rollout is about to end, do not count.
            "matchLabelKeys": ["pod-template-hash"],
        }
        for constraint in constraints
    ]
