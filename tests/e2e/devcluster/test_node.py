"""Real nodes: pods, Services, names, healing, clusters side by side, and nothing left behind.

Pods run this machine's Python on the pause image, so that no image has to be built.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from devcluster import Cluster, pause
from devcluster.waiting import wait_until

from tests.e2e.devcluster import traces

_PAIR = Cluster("selftest-x"), Cluster("selftest-y")
_PYTHON = os.path.realpath(sys.executable)
_FOLDERS = ("/usr", "/lib", "/lib64", "/bin", sys.base_prefix)
_SERVE = """if True:
    import http.server, os
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(open("/data/greeting").read().encode())
    print("listening", flush=True)
    http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""
_ASK = "import urllib.request as u; print(u.urlopen('http://web.default.svc', timeout=2).read())"
_OUTSIDE = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=20)"


@pytest.fixture(scope="module")
def before() -> list[traces.Host]:
    """The machine as it was without the pair of clusters; nothing of a run that was killed."""
    for cluster in _PAIR:
        cluster.down()
    return [traces.Host.now(cluster.layout) for cluster in _PAIR]


@pytest.fixture(scope="module")
def clusters(before: list[traces.Host]) -> Generator[tuple[Cluster, Cluster]]:
    del before
    pair = _PAIR
    with ExitStack() as ends:
        for cluster in pair:
            ends.callback(cluster.down)
            cluster.up("node")
            (cluster.shared_dir / "greeting").write_text(f"hello from {cluster.name}")
            _serve(cluster)
        for cluster in pair:
            cluster.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s", timeout=70)
        yield pair


def _serve(cluster: Cluster) -> None:
    def accounts() -> bool:
        return "default" in cluster.kubectl("get", "serviceaccounts")

    wait_until("the account", accounts, 10)
    folders = [folder for folder in _FOLDERS if Path(folder).exists()]
    data = str(cluster.node_path(cluster.shared_dir))
    paths = {**{folder: folder for folder in folders}, "/data": data}
    volumes = [
        {"name": f"v{number}", "hostPath": {"path": path}}
        for number, path in enumerate(paths.values())
    ]
    mounts = [
        {"name": f"v{number}", "mountPath": target, "readOnly": True}
        for number, target in enumerate(paths)
    ]
    container: dict[str, Any] = {
        "name": "web",
        "image": pause.IMAGE,
        "command": [_PYTHON, "-c", _SERVE],
        "volumeMounts": mounts,
        "readinessProbe": {"httpGet": {"port": 8000}, "periodSeconds": 1},
        "securityContext": {"runAsUser": 0},
        "resources": {"limits": {"memory": "128Mi"}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"volumes": volumes, "containers": [container]},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]},
    }
    for manifest in (pod, service):
        cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))


def _programs(cluster: Cluster, name: str) -> list[int]:
    running = traces.processes(cluster.layout, traces.Inside.now(cluster.layout))
    return [pid for pid, line in running.items() if Path(line.split()[0]).name == name]


def _in_pod(cluster: Cluster, program: str) -> str:
    return cluster.kubectl("exec", "web", "--", _PYTHON, "-c", program)


def _answers(cluster: Cluster) -> bool:
    try:
        return f"hello from {cluster.name}" in _in_pod(cluster, _ASK)
    except subprocess.CalledProcessError:
        return False


def test_a_pod_reaches_a_service_by_name(clusters: tuple[Cluster, Cluster]) -> None:
    for cluster in clusters:
        wait_until("the Service", lambda cluster=cluster: _answers(cluster), 10)


def test_the_machine_reaches_a_service_by_address(clusters: tuple[Cluster, Cluster]) -> None:
    for cluster in clusters:
        wait_until("the Service", lambda cluster=cluster: _answers(cluster), 10)
        address = cluster.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
        with urllib.request.urlopen(f"http://{address}", timeout=5) as response:
            assert response.read().decode() == f"hello from {cluster.name}"


def test_logs_are_shown(clusters: tuple[Cluster, Cluster]) -> None:
    assert clusters[0].kubectl("logs", "web").startswith("listening")


def test_no_packet_of_a_pod_leaves_the_machine(clusters: tuple[Cluster, Cluster]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        _in_pod(clusters[0], _OUTSIDE)
    assert "Network is unreachable" in refused.value.stderr


def test_pods_stay_off_fake_nodes_unless_these_are_untainted(
    clusters: tuple[Cluster, Cluster],
) -> None:
    cluster = clusters[0]
    resources = {"limits": {"nvidia.com/gpu": "1"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "gpu"},
        "spec": {"containers": [{"name": "c", "image": "none", "resources": resources}]},
    }
    cluster.apply_fake_node("fake")
    cluster.kubectl("apply", "-f", "-", input=json.dumps(pod))
    cluster.kubectl("wait", "--for=condition=PodScheduled=False", "pod/gpu", "--timeout=20s")
    assert "untolerated taint" in cluster.kubectl("get", "pod", "gpu", "-o", "yaml")
    cluster.apply_fake_node("fake", tainted=False)
    cluster.kubectl("wait", "--for=condition=Ready", "pod/gpu", "--timeout=20s")
    cluster.kubectl("delete", "pod/gpu", "node/fake", "--timeout=20s")


def test_what_a_pod_uses_is_known(clusters: tuple[Cluster, Cluster]) -> None:
    for cluster in clusters:
        wait_until("what the pod uses", lambda cluster=cluster: _known(cluster), 60)


def _known(cluster: Cluster) -> bool:
    try:
        name, cpu, memory = cluster.kubectl("top", "pod", "web", "--no-headers").split()
    except subprocess.CalledProcessError:  # the kubelet has not been asked twice yet
        return False
    return name == "web" and cpu.endswith("m") and memory.endswith("Mi") and memory != "0Mi"


@pytest.mark.parametrize(
    "program", ["kubelet", "containerd", "coredns", "kube-proxy", "metrics-server"]
)
def test_up_starts_what_died_and_the_pod_lives_on(
    clusters: tuple[Cluster, Cluster], program: str
) -> None:
    cluster = clusters[0]
    started = "jsonpath={.status.containerStatuses[0].state.running.startedAt}"
    before = cluster.kubectl("get", "pod", "web", "-o", started)
    (victim,) = _programs(cluster, program)
    os.kill(victim, signal.SIGKILL)
    wait_until("its end", lambda: not Path(f"/proc/{victim}").exists(), 5)
    cluster.up("node")
    assert len(_programs(cluster, program)) == 1
    wait_until("the Service", lambda: _answers(cluster), 10)
    assert cluster.kubectl("get", "pod", "web", "-o", started) == before


def test_up_waits_for_the_word_of_the_new_kubelet(clusters: tuple[Cluster, Cluster]) -> None:
    cluster = clusters[0]
    (victim,) = _programs(cluster, "kubelet")
    killed = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    os.kill(victim, signal.SIGKILL)
    wait_until("its end", lambda: not Path(f"/proc/{victim}").exists(), 5)
    cluster.up("node")
    heard = 'jsonpath={.status.conditions[?(@.type=="Ready")].lastHeartbeatTime}'
    assert cluster.kubectl("get", "node", "node-1", "-o", heard) >= killed


def test_a_node_that_lost_everything_comes_back_with_its_pods(
    clusters: tuple[Cluster, Cluster],
) -> None:
    cluster = clusters[0]
    first = traces.init(cluster.layout)
    assert first
    os.kill(first, signal.SIGKILL)
    wait_until("its end", lambda: traces.init(cluster.layout) is None, 10)
    cluster.up("node")
    wait_until("the Service", lambda: _answers(cluster), 60)
    assert _answers(clusters[1])


def test_down_of_clusters_that_ran_pods_leaves_nothing(
    clusters: tuple[Cluster, Cluster], before: list[traces.Host]
) -> None:
    inside = [traces.Inside.now(cluster.layout) for cluster in clusters]
    for cluster, own in zip(clusters, inside, strict=True):
        assert len(own.namespaces) > 3  # the pods have their own
        assert traces.processes(cluster.layout, own)
    for cluster in clusters:
        cluster.down()
    for cluster, own, host in zip(clusters, inside, before, strict=True):
        _assert_gone(cluster, own, host)


@pytest.mark.parametrize("line", ["connected the node", "started kubelet"])
def test_down_after_a_killed_up_leaves_nothing(line: str) -> None:
    cluster = Cluster("selftest-z")
    before = traces.Host.now(cluster.layout)
    up = subprocess.Popen(
        [sys.executable, "-m", "devcluster", "up", cluster.name, "--shape=node"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert up.stdout
        assert any(line in said for said in up.stdout)
        up.kill()
        inside = traces.Inside.now(cluster.layout)
        assert len(inside.namespaces) == 3
        assert traces.processes(cluster.layout, inside)
        assert len(traces.outside_folder(cluster.layout)) > 2
        assert traces.Host.now(cluster.layout) == before
        cluster.layout.state.unlink()
    finally:
        up.kill()
        up.wait()
        cluster.down()
    _assert_gone(cluster, inside, before)


def _assert_gone(cluster: Cluster, inside: traces.Inside, before: traces.Host) -> None:
    assert traces.processes(cluster.layout, inside) == {}
    assert traces.outside_folder(cluster.layout) == []
    assert traces.Host.now(cluster.layout) == before
    assert not cluster.layout.folder.exists()
