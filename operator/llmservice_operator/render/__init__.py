"""A resource's children, as they are applied: pure, the same bytes for the same resource.

One file a kind, each written as the manifest it is. Reads nothing but its arguments.
"""

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.resource import LLMService
from llmservice_operator.render.autoscaler import autoscaler
from llmservice_operator.render.configuration import configuration
from llmservice_operator.render.defaults import RenderDefaults
from llmservice_operator.render.deployment import deployment
from llmservice_operator.render.disruption import disruption_budget
from llmservice_operator.render.identity import service_account
from llmservice_operator.render.network import service as network_service
from llmservice_operator.render.redis import redis

__all__ = ["RenderDefaults", "render"]


def render(service: LLMService, defaults: RenderDefaults) -> list[Manifest]:
    """Every child of the service, what a pod needs before the pod.

    Raises:
        InvalidSpec: what the schema cannot refuse, with a sentence.
    """
    config_map = configuration(service)
    return [
        service_account(service),
        config_map,
        network_service(service),
        deployment(service, defaults, config_map["metadata"]["name"]),
        disruption_budget(service),
        *autoscaler(service),
        *redis(service, defaults),
    ]
