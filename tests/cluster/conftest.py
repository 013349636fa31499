"""A real API server with fake nodes for the tests of this folder, and a namespace for each of them.

The cluster is called "test", or "test-gw0" and so on where several processes share the tests. It is
made anew, unless KEEP=1, which leaves it for the next run; one that TEST_CLUSTER names is used as
it is and stays. The operator runs as a process beside it, as the chart's service account: what the
chart does not grant fails.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from devcluster import Cluster

from dev import account
from tests.cluster.kube import Kube, install_crds
from tests.cluster.operator_process import Operator

_ROOT = Path(__file__).parents[2]
_SYSTEM = "llmservice-system"
# First: last, they would end alone.
_LONG = ("test_placement", "test_processes", "test_startup", "test_troubleshooting")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in _LONG)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster with the CRD."""
    named = os.environ.get("TEST_CLUSTER")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    found = Cluster(named or "-".join(filter(None, ("test", worker))))
    stays = named is not None or os.environ.get("KEEP") == "1"
    if not stays:
        found.down()  # what a run that was killed left
    try:
        found.up(shape="kwok")
        install_crds(found)
        found.kubectl("get", "llmservices")  # waits until the API server has storage for them
        yield found
    finally:
        if not stays:
            found.down()


@pytest.fixture
def kube(cluster: Cluster) -> Iterator[Kube]:
    """As the administrator, in a namespace of the test's own, which admits nothing below the
    restricted pod security standard.
    """
    made = Kube(cluster.kubeconfig, f"t-{uuid.uuid4().hex[:8]}")
    made.make_namespace(**{"pod-security.kubernetes.io/enforce": "restricted"})
    yield made
    made.end_namespace()


@pytest.fixture
def namespace(kube: Kube) -> str:
    """The name of the test's namespace."""
    return kube.namespace


@pytest.fixture(scope="session")
def nodes(cluster: Cluster) -> None:
    """A node without GPUs and one with eight that have 80 GB each."""
    plain = {"cpu": "64", "memory": "512Gi", "pods": "500"}
    cluster.apply_fake_node("plain", {}, plain)
    gpus = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.memory": "81559"}
    cluster.apply_fake_node("gpus", gpus, {**plain, "nvidia.com/gpu": "8"})


@pytest.fixture(scope="session")
def identity(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a kubeconfig of a service account with what the chart grants, given its values."""

    def made(system: str, *values: str) -> Path:
        path = tmp_path_factory.mktemp("identity") / "kubeconfig"
        account.install(cluster, system, path, *values)
        return path

    return made


@pytest.fixture(scope="session")
def shared_operator(
    identity: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    """For all tests; use `operator`."""
    log = tmp_path_factory.mktemp("operator") / "log"
    shared = Operator(identity(_SYSTEM), _SYSTEM, log, flags=("--redis-image=redis:test",))
    yield shared
    if shared.runs():
        shared.stop()


@pytest.fixture
def operator(shared_operator: Operator, nodes: None) -> Operator:
    """The operator, leading; a test may end it, the next one finds it running again."""
    if not shared_operator.runs():
        shared_operator.start()
    return shared_operator
