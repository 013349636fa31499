"""The pod's volumes and where they are mounted: what the server may write, and what it reads."""

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.model import MOUNT_PATH
from llmservice_operator.api.resource import LLMService

CONFIG_PATH = "/etc/llmservice"
HOME = "/home/app"
DATA_PATH = "/var/lib/llmservice"

_SHARED_MEMORY_PER_GPU = 2  # GiB: what vLLM's own Helm example gives NCCL and its workers


def volumes(service: LLMService, config_map: str) -> list[Manifest]:
    """The pod's volumes."""
    gpus = service.spec.gpu.devices if service.spec.gpu else 1
    model = service.spec.model
    made: list[Manifest] = [
        {"name": "config", "configMap": {"name": config_map}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "home", "emptyDir": {}},
    ]
    if model is not None:
        # The runtime's own /dev/shm has 64 MiB, too little for workers to talk through.
        size = f"{_SHARED_MEMORY_PER_GPU * gpus}Gi"
        made.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}})
        if model.claim:
            claim = {"claimName": model.claim, "readOnly": True}
            made.append({"name": "model", "persistentVolumeClaim": claim})
    if data := service.spec.gateway.claim:
        made.append({"name": "data", "persistentVolumeClaim": {"claimName": data}})
    return made


def mounts(service: LLMService) -> list[Manifest]:
    """Where the container sees them."""
    model = service.spec.model
    made: list[Manifest] = [
        {"name": "config", "mountPath": CONFIG_PATH, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a volume of the pod's own
        {"name": "home", "mountPath": HOME},
    ]
    if model is not None:
        made.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108  a volume of the pod's own
        if model.claim:
            made.append({"name": "model", "mountPath": MOUNT_PATH, "readOnly": True})
    if service.spec.gateway.claim:
        made.append({"name": "data", "mountPath": DATA_PATH})
    return made
