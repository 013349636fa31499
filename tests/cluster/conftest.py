"""A real API server with fake nodes for the tests of this folder, and a namespace for each of them.

The cluster is called "test", or as TEST_CLUSTER says; one that was up before stays up.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from devcluster import Cluster

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster with the CRD."""
    found = Cluster(os.environ.get("TEST_CLUSTER", "test"))
    stays = found.kubeconfig.exists()
    found.up(shape="kwok")
    found.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(_ROOT / "crds"))
    found.kubectl("wait", "--for=condition=Established", "crd/llmservices.llmservice.io")
    yield found
    if not stays:
        found.down()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace that admits nothing below the restricted pod security standard."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl(
        "label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted"
    )
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
