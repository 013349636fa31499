"""What all children have in common, and the ServiceAccount, which is nothing more than that."""

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.resource import GROUP, KIND, VERSION, LLMService

SLOT = "a"


def labels(service: LLMService) -> dict[str, str]:
    """The labels of every child and pod."""
    return {
        "app.kubernetes.io/name": "llmservice",
        "app.kubernetes.io/instance": service.metadata.name,
        "app.kubernetes.io/managed-by": "llmservice-operator",
    }


def selector(service: LLMService) -> dict[str, str]:
    """What selects the serving pods. Never a version: selectors cannot change, versions do."""
    return {
        "app.kubernetes.io/name": "llmservice",
        "app.kubernetes.io/instance": service.metadata.name,
        "llmservice.io/slot": SLOT,
    }


def metadata(service: LLMService, name: str = "") -> Manifest:
    """The metadata of a child, named like the resource unless it says otherwise."""
    return {
        "name": name or service.metadata.name,
        "namespace": service.metadata.namespace,
        "labels": labels(service),
        "ownerReferences": [
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "name": service.metadata.name,
                "uid": service.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def service_account(service: LLMService) -> Manifest:
    """An identity without rights, so that pods do not run as the namespace's default one."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(service),
        "automountServiceAccountToken": False,
    }
