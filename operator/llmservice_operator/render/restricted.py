"""What every pod of ours is: within Pod Security's `restricted`, and without a token of the API.

Said also where it is the default, so that it is ours: what somebody opens is closed again.
"""

from llmservice_operator.api.manifest import Manifest

_USER = 1000


def restricted_pod(account: str) -> Manifest:
    """These fields of a pod's spec; account: the ServiceAccount's name."""
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostNetwork": False,
        "hostPID": False,
        "hostIPC": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            # A large model volume is not walked file by file when its owner is right already.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def restricted_container() -> Manifest:
    """These fields of a container's."""
    return {
        "securityContext": {
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"add": [], "drop": ["ALL"]},
        },
        # What it wrote last becomes part of the pod's status, and so of ours.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
