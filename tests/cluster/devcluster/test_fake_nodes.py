"""A control plane with fake nodes: what the tier `cluster` stands on."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest
from devcluster import Cluster, ClusterError
from devcluster.waiting import wait_until


@pytest.fixture(scope="module")
def cluster() -> Generator[Cluster]:
    made = Cluster("selftest-a")
    made.down()
    try:
        made.up("kwok")
        yield made
    finally:
        made.down()


def _processes(cluster: Cluster) -> dict[int, str]:
    """Programs by process number, of all processes that name the cluster's folder."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # no process, or one that ended meanwhile
            program, *arguments = (entry / "cmdline").read_text().split("\0")
            if f"{cluster.layout.folder}/" in " ".join(arguments):
                found[int(entry.name)] = program
    return found


def _pid(cluster: Cluster, program: str) -> int:
    return next(pid for pid, path in _processes(cluster).items() if path.endswith(f"/{program}"))


def test_the_server_is_the_kubernetes_it_says(cluster: Cluster) -> None:
    versions = json.loads(cluster.kubectl("version", "-o", "json"))
    assert versions["serverVersion"]["gitVersion"] == versions["clientVersion"]["gitVersion"]
    assert versions["serverVersion"]["minor"] == "37"


def test_up_again_changes_nothing(cluster: Cluster) -> None:
    before = _processes(cluster)
    cluster.up("kwok")
    assert _processes(cluster) == before


def test_up_starts_what_died(cluster: Cluster) -> None:
    before = _processes(cluster)
    victims = [_pid(cluster, "kube-scheduler"), _pid(cluster, "etcd")]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    wait_until("their end", lambda: not set(victims) & set(_processes(cluster)), 60)
    cluster.up("kwok")
    after = _processes(cluster)
    assert sorted(after.values()) == sorted(before.values())
    assert set(before) - set(victims) <= set(after)
    assert "kube-system" in cluster.kubectl("get", "namespaces")


def test_a_pod_of_a_fake_node_becomes_ready_and_goes(cluster: Cluster) -> None:
    cluster.apply_fake_node("gpu", {"nvidia.com/gpu.product": "A100"})
    resources = {"limits": {"nvidia.com/gpu": "8"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "none", "resources": resources}]},
    }
    wait_until("the account", lambda: "default" in cluster.kubectl("get", "serviceaccounts"), 60)
    cluster.kubectl("apply", "-f", "-", input=json.dumps(pod))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=60s", timeout=70)
    assert cluster.kubectl("get", "pod", "p", "-o", "jsonpath={.spec.nodeName}") == "gpu"
    cluster.kubectl("delete", "pod", "p", "--timeout=60s", timeout=70)


def test_rights_are_real(cluster: Cluster) -> None:
    account = "--as=system:serviceaccount:default:default"
    with pytest.raises(subprocess.CalledProcessError, match="returned non-zero") as refused:
        cluster.kubectl("get", "secrets", account)
    assert "Forbidden" in refused.value.stderr


def test_another_shape_is_refused_with_what_to_do(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="has shape kwok: take it down first"):
        cluster.up("node")


def test_two_clusters_live_side_by_side(cluster: Cluster) -> None:
    other = Cluster("selftest-b")
    try:
        other.up("kwok")
        other.kubectl("create", "namespace", "only-here")
        assert "only-here" not in cluster.kubectl("get", "namespaces")
    finally:
        other.down()
    assert "kube-system" in cluster.kubectl("get", "namespaces")


def test_down_leaves_nothing_after_a_killed_up_and_without_its_record() -> None:
    cluster = Cluster("selftest-c")
    up = subprocess.Popen(
        [sys.executable, "-m", "devcluster", "up", cluster.name, "--shape=kwok"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert up.stdout
        assert any("started kube-apiserver" in line for line in up.stdout)
        up.kill()
        assert _processes(cluster)
        cluster.layout.state.unlink()
    finally:
        up.kill()
        up.wait()
        cluster.down()
    assert not _processes(cluster)
    assert not cluster.layout.folder.exists()


def test_down_of_a_cluster_that_never_was_is_no_error() -> None:
    Cluster("selftest-none").down()
