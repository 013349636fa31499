"""The pod's volumes and where they are mounted: what the server may write, and what it reads."""

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.model import MOUNT_PATH
from llmservice_operator.api.resource import LLMService

CONFIG_PATH = "/etc/llmservice"
HOME = "/home/app"

_SHARED_MEMORY_PER_GPU = 2  # GiB: what vLLM's own Helm example gives NCCL and its workers


def volumes(service: LLMService, config_map: str) -> list[Manifest]:
    """The pod's volumes."""
    gpus = service.spec.gpu.devices if service.spec.gpu else 1
    claim = service.spec.model.claim
    model: list[Manifest] = [
        {"name": "model", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    ]
    return [
        {"name": "config", "configMap": {"name": config_map}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "home", "emptyDir": {}},
        # The runtime's own /dev/shm has 64 MiB, too little for workers to talk through.
        {
            "name": "shm",
            "emptyDir": {"medium": "Memory", "sizeLimit": f"{_SHARED_MEMORY_PER_GPU * gpus}Gi"},
        },
        *(model if claim else []),
    ]


def mounts(service: LLMService) -> list[Manifest]:
    """Where the container sees them."""
    model: list[Manifest] = [{"name": "model", "mountPath": MOUNT_PATH, "readOnly": True}]
    return [
        {"name": "config", "mountPath": CONFIG_PATH, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a volume of the pod's own
        {"name": "home", "mountPath": HOME},
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108  a volume of the pod's own
        *(model if service.spec.model.claim else []),
    ]
