"""The server's container: what it runs, what it sees, and how its health is asked for."""

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.model import TOKEN_KEY
from llmservice_operator.api.resource import LLMService
from llmservice_operator.placement.demand import Demand
from llmservice_operator.render.configuration import KEY, key_variable
from llmservice_operator.render.defaults import RenderDefaults
from llmservice_operator.render.redis import redis_environment
from llmservice_operator.render.restricted import restricted_container
from llmservice_operator.render.startup import startup_seconds
from llmservice_operator.render.volumes import CONFIG_PATH, HOME, mounts

PORT = 8000
CLAIM = "gpu"  # of devices, by its name in the pod
_STARTUP_PERIOD = 1  # seconds: what a server that just became able to answer waits at most


def container(service: LLMService, defaults: RenderDefaults, asked: Demand) -> Manifest:
    """The pod's only container."""
    limits: Manifest = {"limits": dict(asked.limits)} if asked.limits else {}
    if service.spec.gpu and service.spec.gpu.claim_template:
        limits["claims"] = [{"name": CLAIM}]
    return {
        "name": "server",
        "image": service.spec.engine.image or defaults.image(service.spec.engine.type),
        "imagePullPolicy": "IfNotPresent",
        "command": ["llmservice-server", "serve", "--config", f"{CONFIG_PATH}/{KEY}"],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "env": _environment(service),
        "resources": {"requests": dict(asked.requests), **limits},
        "startupProbe": {
            "httpGet": {"path": _started(service), "port": "http"},
            "periodSeconds": _STARTUP_PERIOD,
            # Longer, and each try of a server that hangs would stretch the time it has.
            "timeoutSeconds": _STARTUP_PERIOD,
            "failureThreshold": startup_seconds(service) // _STARTUP_PERIOD,
        },
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "http"},
            "periodSeconds": 5,
            "timeoutSeconds": 5,
            "failureThreshold": 2,
        },
        # Lenient: a restart costs a model load, and a busy server answers late.
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": "http"},
            "periodSeconds": 10,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
        **restricted_container(),
        "volumeMounts": mounts(service),
    }


def _started(service: LLMService) -> str:
    """What answers 200 once a restart would not help any more.

    A proxy is ready when an upstream is, which may take longer than any start.
    """
    return "/livez" if service.spec.engine.type == "proxy" else "/readyz"


def _environment(service: LLMService) -> list[Manifest]:
    """Our variables, then the user's, which replace ours of the same name: names are unique."""
    user = [
        variable.model_dump(mode="json", by_alias=True, exclude_none=True)
        for variable in service.spec.engine.env
    ]
    taken = {variable["name"] for variable in user}
    return [variable for variable in _own(service) if variable["name"] not in taken] + user


def _own(service: LLMService) -> list[Manifest]:
    home: Manifest = {"name": "HOME", "value": HOME}
    model = service.spec.model
    gateway = [_secret(v, s.name, s.key) for v, s in service.spec.gateway.secrets.items()]
    gateway += redis_environment(service)
    if model is None:
        return [home, *_keys(service), *gateway]
    own: list[Manifest] = [
        home,
        *gateway,
        # User 1000 need not be in the image's /etc/passwd, where torch looks its name up.
        {"name": "USER", "value": "app"},
        {"name": "HF_HOME", "value": f"{HOME}/.cache/huggingface"},
        {"name": "VLLM_CACHE_ROOT", "value": f"{HOME}/.cache/vllm"},
        {"name": "TRITON_CACHE_DIR", "value": f"{HOME}/.cache/triton"},
    ]
    if model.scheme != "hf":
        own.append({"name": "HF_HUB_OFFLINE", "value": "1"})
    if model.credentials_secret:
        own.append(_secret(TOKEN_KEY, model.credentials_secret, TOKEN_KEY))
    return own


def _keys(service: LLMService) -> list[Manifest]:
    """The upstreams' keys, each in a variable that the server's configuration names."""
    return [
        _secret(key_variable(number), upstream.api_key_secret.name, upstream.api_key_secret.key)
        for number, upstream in enumerate(service.spec.engine.upstreams)
        if upstream.api_key_secret
    ]


def _secret(variable: str, name: str, key: str) -> Manifest:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}
