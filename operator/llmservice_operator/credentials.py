"""A kubeconfig's credential plug-in: a command that prints a token or a client certificate.

What clouds write into their users' kubeconfigs (client.authentication.k8s.io). Asked once, so for
commands that end before the credential does. Never: the credential in a message.
"""

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

_SECONDS = 60


class PluginError(Exception):
    """The plug-in gave no credential; says which one, and its own words."""


def from_plugin(plugin: dict[str, Any], folder: Path) -> dict[str, str]:
    """The user entry of a kubeconfig with what the plug-in gave. folder: of the kubeconfig."""
    command = str(plugin["command"])
    if "/" in command:
        command = str(folder / command)  # an absolute path stays
    spec = {"kind": "ExecCredential", "apiVersion": plugin["apiVersion"]}
    added = {entry["name"]: entry["value"] for entry in plugin.get("env") or ()}
    info = json.dumps({**spec, "spec": {"interactive": False}})
    try:
        done = subprocess.run(
            [command, *(plugin.get("args") or ())],
            env={**os.environ, **added, "KUBERNETES_EXEC_INFO": info},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
        status: dict[str, str] = json.loads(done.stdout)["status"]
    except subprocess.CalledProcessError as error:
        raise PluginError(f"{command} failed: {' '.join(error.stderr.split())}") from None
    except subprocess.TimeoutExpired:
        raise PluginError(f"{command} gave no answer in {_SECONDS} s") from None
    except OSError as error:
        hint = " ".join(str(plugin.get("installHint") or "").split())
        raise PluginError(f"{command}: {error.strerror}. {hint}".strip()) from None
    except (ValueError, KeyError, TypeError):
        raise PluginError(f"{command} printed no ExecCredential") from None
    user = {"token": status.get("token", "")}
    for name, key in (
        ("clientCertificateData", "client-certificate-data"),
        ("clientKeyData", "client-key-data"),
    ):
        if name in status:
            user[key] = base64.b64encode(status[name].encode()).decode()
    return user
