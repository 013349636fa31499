"""What the demo and the e2e tests stand on: a real node, the images on it, the operator installed
by its Helm chart, and a namespace whose pods are held to the restricted standard, with the demo's
model in a volume. Every part is idempotent: what is there already is kept or brought up to date.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from devcluster import Cluster, debian, provider, tools

from dev import images, model
from dev.progress import say, step

SYSTEM = "llmservice-system"
RELEASE = "llmservice-operator"
CLAIM = "models"
_CHART = "charts/llmservice-operator"
_ABANDON_SECONDS = 30
_RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@dataclass(frozen=True)
class Stack:
    """A cluster with the operator in it, and the images that it runs."""

    cluster: Cluster
    images: images.Images


@dataclass(frozen=True)
class Prepared:
    """What is made once on a machine, whatever the cluster."""

    images: images.Images
    model: Path


def prepare(beside: Callable[[], None] | None = None) -> Prepared:
    """Build the images, the model and helm, with `beside` running at the same time.

    Where one fails the others are ended too, and its error is raised; before anything is built,
    where this machine cannot run a node.
    """
    needed: list[str] = ["kubectl", "helm"]
    if provider.choose("node", provider.Machine.here()) == "embedded":
        debian.ensure()
        needed += [*tools.CONTROL_PLANE, *tools.NODE]
    else:
        needed.append("kwok")
    works: dict[str, Callable[[], Any]] = {
        "images": images.build,
        "model": model.prepare,
        "tools": partial(tools.ensure, *dict.fromkeys(needed)),
    }
    if beside:
        works["cluster"] = beside
    done: dict[str, Any] = {}
    say(f"side by side: {', '.join(works)} …")
    pool = ThreadPoolExecutor(len(works))
    names = {pool.submit(work): name for name, work in works.items()}
    try:
        for future in as_completed(names):
            done[names[future]] = future.result()
            say(f"{names[future]}: done")
    except BaseException:
        say("a failure: ending the rest …")
        pool.shutdown(wait=False, cancel_futures=True)
        _abandon(names)
        raise
    return Prepared(done["images"], done["model"])


def up(name: str, namespace: str) -> Stack:
    """Bring everything up; returns once the operator is ready. An error says which part failed."""
    cluster = Cluster(name)
    prepared = prepare(partial(cluster.up, shape="node"))
    with step("load", "the images' changed layers to reach the node"):
        images.load(cluster, prepared.images)
    with step("model", f"a volume with the model in namespace {namespace}"):
        _namespace(cluster, namespace)
        _volume(cluster, namespace, prepared.model)
    with step("helm", f"the chart in namespace {SYSTEM} to be up"):
        _namespace(cluster, SYSTEM)
        install(cluster, prepared.images)
    return Stack(cluster, prepared.images)


def down(name: str) -> None:
    """Remove the cluster and everything in it."""
    with step("down", f"nothing of cluster {name} to be left"):
        Cluster(name).down()


def install(cluster: Cluster, built: images.Images) -> None:
    """Install or upgrade the chart; returns once the operator's pod is ready."""
    _settle(cluster)
    repository, _, tag = built.operator.rpartition(":")
    values = {
        "image.repository": repository,
        "image.tag": tag,
        "server.image": built.server,
        "server.proxyImage": built.proxy,
        "redis.image": built.redis,
    }
    settings = [f"--set-string={key}={value}" for key, value in values.items()]
    settings.append("--set=redis.createSecrets=true")
    arguments = ["upgrade", "--install", RELEASE, _CHART, "--namespace", SYSTEM, *settings]
    cluster.helm(*arguments, "--wait", "--timeout", "120s", timeout=150)


def _settle(cluster: Cluster) -> None:
    """Undo what a helm that was killed left half done: it refuses to go on from there."""
    listed = cluster.helm("list", "--pending", "--namespace", SYSTEM, "--output", "json")
    for release in json.loads(listed):
        undo = "uninstall" if release["status"] == "pending-install" else "rollback"
        say(f"helm: {undo} of {release['name']}, which is {release['status']}")
        cluster.helm(undo, release["name"], "--namespace", SYSTEM)


def real_node(cluster: Cluster) -> str:
    """The name of the first node that runs containers."""
    nodes = json.loads(cluster.kubectl("get", "nodes", "-l", "type!=kwok", "-o", "json"))["items"]
    return nodes[0]["metadata"]["labels"]["kubernetes.io/hostname"]


def condition(resource: dict[str, Any], kind: str) -> dict[str, Any]:
    """The condition of this type for the resource's present generation; {} where there is none."""
    for found in resource.get("status", {}).get("conditions", []):
        fresh = found.get("observedGeneration") == resource["metadata"]["generation"]
        if found["type"] == kind and fresh:
            return found
    return {}


def _abandon(works: Collection[Future[Any]]) -> None:
    """End the programs that works still run, so that these fail too and clean up after themselves.

    Programs in a session of their own, such as apt's, are left to end by themselves.
    """
    deadline = time.monotonic() + _ABANDON_SECONDS
    while wait(works, timeout=0.5).not_done and time.monotonic() < deadline:
        for file in Path("/proc/self/task").glob("*/children"):
            with suppress(OSError):  # a thread or a program that ended meanwhile
                for pid in map(int, file.read_text().split()):
                    if os.getsid(pid) == os.getsid(0):
                        os.kill(pid, signal.SIGTERM)


def _namespace(cluster: Cluster, name: str) -> None:
    metadata = {"name": name, "labels": _RESTRICTED}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def _volume(cluster: Cluster, namespace: str, folder: Path) -> None:
    """A local volume that holds the model's folder, and its claim.

    Restricted pods may not use hostPath, and may use a claim.
    """
    volume = f"{namespace}-{CLAIM}"
    size = {"storage": "1Gi"}
    on_node = {
        "key": "kubernetes.io/hostname",
        "operator": "In",
        "values": [real_node(cluster)],
    }
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                "capacity": size,
                "accessModes": ["ReadOnlyMany"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "",
                "local": {"path": str(cluster.node_path(folder.parent))},
                "nodeAffinity": affinity,
                "claimRef": {"namespace": namespace, "name": CLAIM},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM, "namespace": namespace},
            "spec": {
                "accessModes": ["ReadOnlyMany"],
                "storageClassName": "",
                "volumeName": volume,
                "resources": {"requests": size},
            },
        },
    )
