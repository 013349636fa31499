"""The Redis of a resource's own, where it asks for one: Deployment, Service and NetworkPolicy.

Small and without a disk: it counts, and what has to last is in the database. Its password is in a
Secret that is made elsewhere (password.py), and in no manifest, file or command line. Its pods
carry none of the labels by which the serving pods are known.
"""

from llmservice_operator.api.invalid import InvalidSpec
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.pod import INSTANCE, NAME
from llmservice_operator.api.resource import LLMService
from llmservice_operator.render.defaults import RenderDefaults
from llmservice_operator.render.identity import metadata, selector
from llmservice_operator.render.restricted import restricted_container, restricted_pod

PASSWORD = "REDIS_PASSWORD"  # noqa: S105  the name of a Secret's key and of a variable
URL = "REDIS_URL"
_PORT = 6379
# Above what is counted Redis needs as much again for its clients and what it frees late.
_MEMORY, _LIMIT = "160mb", "320Mi"
# Where memory ends, what was asked for longest ago goes first: answers that are kept push out no
# counts of who asks now. The here-document is a pipe, and nothing is written.
_RUN = f"""\
exec redis-server --port {_PORT} --save '' --appendonly no \
--maxmemory {_MEMORY} --maxmemory-policy volatile-lru - <<END
requirepass $REDISCLI_AUTH
END
"""
_NO_IMAGE = (
    "spec.gateway.redis.managed: the operator was installed without an image of Redis: set "
    "redis.image in its chart, or write urlSecret"
)


def redis_name(service: LLMService) -> str:
    """Of all that is made for it."""
    return f"{service.metadata.name}-redis"


def redis(service: LLMService, defaults: RenderDefaults) -> list[Manifest]:
    """All of it, or nothing. Raises InvalidSpec where no image of it is known."""
    if not service.spec.gateway.runs_redis:
        return []
    if not defaults.redis_image:
        raise InvalidSpec(_NO_IMAGE)
    return [_policy(service), _service(service), _deployment(service, defaults.redis_image)]


def redis_environment(service: LLMService) -> list[Manifest]:
    """What the server's container is told of it; the kubelet puts the password into the address."""
    if not service.spec.gateway.runs_redis:
        return []
    # The bare name is the one that a pod's resolver finds at the first try.
    address = f"redis://:$({PASSWORD})@{redis_name(service)}:{_PORT}/0"
    return [
        {"name": PASSWORD, "valueFrom": _password(service)},
        {"name": URL, "value": address},
    ]


def _password(service: LLMService) -> Manifest:
    return {"secretKeyRef": {"name": redis_name(service), "key": PASSWORD}}


def _labels(service: LLMService) -> dict[str, str]:
    return {NAME: "redis", INSTANCE: redis_name(service)}


def _policy(service: LLMService) -> Manifest:
    """The serving pods reach it and nobody else, and it reaches nobody."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(service, redis_name(service)),
        "spec": {
            "podSelector": {"matchLabels": _labels(service)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": selector(service)}}],
                    "ports": [{"port": _PORT, "protocol": "TCP"}],
                }
            ],
        },
    }


def _service(service: LLMService) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(service, redis_name(service)),
        "spec": {
            "type": "ClusterIP",
            "selector": _labels(service),
            "ports": [
                {"name": "redis", "port": _PORT, "targetPort": "redis", "protocol": "TCP"},
            ],
        },
    }


def _deployment(service: LLMService, image: str) -> Manifest:
    secrets = [{"name": secret.name} for secret in service.spec.pod.image_pull_secrets]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(service, redis_name(service)),
        "spec": {
            "replicas": 1,
            "paused": False,
            "selector": {"matchLabels": _labels(service)},
            # Two at once would count apart.
            "strategy": {"type": "Recreate"},
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": 120,
            "template": {
                "metadata": {"labels": _labels(service)},
                "spec": {
                    **restricted_pod(service.metadata.name),
                    "terminationGracePeriodSeconds": 5,
                    **({"imagePullSecrets": secrets} if secrets else {}),
                    "containers": [_container(service, image)],
                },
            },
        },
    }


def _container(service: LLMService, image: str) -> Manifest:
    ping: Manifest = {"exec": {"command": ["redis-cli", "-e", "ping"]}, "timeoutSeconds": 5}
    return {
        "name": "redis",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _RUN],
        "env": [{"name": "REDISCLI_AUTH", "valueFrom": _password(service)}],
        "ports": [{"name": "redis", "containerPort": _PORT, "protocol": "TCP"}],
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": _LIMIT},
        },
        "readinessProbe": {**ping, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**ping, "periodSeconds": 20, "failureThreshold": 3},
        **restricted_container(),
    }
