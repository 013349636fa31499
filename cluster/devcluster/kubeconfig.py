"""Kubeconfig files: one identity each, certificates inside, so that the file stands alone."""

import base64
from pathlib import Path

import yaml

from devcluster import files
from devcluster.certificates import Pair


def write(path: Path, server: str, authority: Path, client: Pair, cluster: str) -> None:
    """Write `path`, readable by its owner only: `client` speaking to the API server at `server`."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": cluster,
                "cluster": {"server": server, "certificate-authority-data": _data(authority)},
            }
        ],
        "users": [
            {
                "name": cluster,
                "user": {
                    "client-certificate-data": _data(client.certificate),
                    "client-key-data": _data(client.key),
                },
            }
        ],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": cluster}}],
        "current-context": cluster,
    }
    files.write(path, yaml.safe_dump(content))


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
