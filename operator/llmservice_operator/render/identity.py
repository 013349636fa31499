"""What all children have in common, and the ServiceAccount, which is nothing more than that."""

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.pod import INSTANCE, MANAGED_BY, NAME
from llmservice_operator.api.resource import GROUP, KIND, VERSION, LLMService
from llmservice_operator.records import FIELD_MANAGER

_NAME, _SLOT = "llmservice", "a"


def labels(service: LLMService) -> dict[str, str]:
    """The labels of every child and pod."""
    return {
        NAME: _NAME,
        INSTANCE: service.metadata.name,
        MANAGED_BY: FIELD_MANAGER,
    }


def selector(service: LLMService) -> dict[str, str]:
    """What selects the serving pods. Never a version: selectors cannot change, versions do."""
    return {
        NAME: _NAME,
        INSTANCE: service.metadata.name,
        f"{GROUP}/slot": _SLOT,
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
