"""Writes of our kinds, by the API server's own count: one that changed nothing counts too."""

import time
from collections import Counter

from devcluster import Cluster

from tests.e2e import writes


def until_quiet(cluster: Cluster, seconds: float = 2, patience: float = 40) -> Counter[str]:
    """The count, once nobody wrote for so long; AssertionError where somebody goes on."""
    deadline = time.monotonic() + patience
    while "Terminating" in cluster.kubectl("get", "namespaces"):  # earlier tests' are being emptied
        assert time.monotonic() < deadline, "a namespace is not deleted"
        time.sleep(0.5)
    before = writes.count(cluster)
    while True:
        time.sleep(seconds)
        after = writes.count(cluster)
        if after == before:
            return after
        assert time.monotonic() < deadline, f"written again and again: {after - before}"
        before = after
