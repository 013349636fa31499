"""The Deployment: how many replicas, and how one is replaced."""

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.resource import LLMService
from llmservice_operator.render.defaults import RenderDefaults
from llmservice_operator.render.identity import metadata, selector
from llmservice_operator.render.pod import pod_template
from llmservice_operator.render.startup import progress_deadline_seconds


def deployment(service: LLMService, defaults: RenderDefaults, config_map: str) -> Manifest:
    """The Deployment, reading its configuration from config_map.

    Its replicas are left out where autoscaling owns them: applied, they would reset the count.
    """
    spec = service.spec
    replicas: Manifest = {} if spec.autoscaling else {"replicas": spec.replicas or 1}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(service),
        "spec": {
            **replicas,
            # Said, so that it is ours: one paused by hand would block every rollout.
            "paused": False,
            "selector": {"matchLabels": selector(service)},
            "strategy": _strategy(service),
            # A server that dies in its first seconds of load must not take the old one with it.
            "minReadySeconds": 10,
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": (
                spec.rollout.progress_deadline_seconds or progress_deadline_seconds(service)
            ),
            "template": pod_template(service, defaults, config_map),
        },
    }


def _strategy(service: LLMService) -> Manifest:
    """How a replica is replaced. Of one with a SQLite the successor waits until it is gone, which
    Kubernetes does for Recreate alone.
    """
    if service.spec.gateway.claim:
        return {"type": "Recreate"}
    surge = service.spec.rollout.strategy == "Surge"
    more, fewer = (1, 0) if surge else (0, 1)
    return {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": more, "maxUnavailable": fewer},
    }
