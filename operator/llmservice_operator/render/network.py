"""The Service in front of the replicas."""

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.resource import LLMService
from llmservice_operator.render.identity import metadata, selector

_HTTP_PORT = 80


def service(resource: LLMService) -> Manifest:
    """The Service, which has only pods that are ready behind it."""
    exposed = resource.spec.expose.service
    meta = metadata(resource)
    if exposed.annotations:
        meta["annotations"] = dict(exposed.annotations)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {
            "type": exposed.type,
            "selector": selector(resource),
            "ports": [
                {
                    "name": "http",
                    "port": exposed.port,
                    "targetPort": "http",
                    "protocol": "TCP",
                    "appProtocol": "http",
                }
            ],
        },
    }


def base_url(resource: LLMService) -> str:
    """What an OpenAI client in the cluster takes as its base URL."""
    port = resource.spec.expose.service.port
    host = f"{resource.metadata.name}.{resource.metadata.namespace}.svc"
    return f"http://{host}/v1" if port == _HTTP_PORT else f"http://{host}:{port}/v1"
