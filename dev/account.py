"""The operator's service account with what the chart grants and no more, for one that runs outside
of the cluster: what is not granted fails there as it would in a pod.
"""

import json
from pathlib import Path
from typing import Any

import yaml
from devcluster import Cluster

_CHART = Path(__file__).parents[1] / "charts/llmservice-operator"


def install(cluster: Cluster, system: str, kubeconfig: Path, *values: str) -> None:
    """In namespace `system`, with these values of the chart; kubeconfig is written."""
    sets = [f"--set={value}" for value in ("crds.enabled=false", *values)]
    text = cluster.helm("template", "llmservice-operator", str(_CHART), "-n", system, *sets)
    rendered = [found for found in yaml.safe_load_all(text) if found]
    space: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": system}}
    items = [space, *(found for found in rendered if found["kind"] != "Deployment")]
    bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=bundle)
    token = cluster.kubectl(
        "create", "token", "llmservice-operator", "-n", system, "--duration=24h"
    )
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(yaml.safe_dump(config))
