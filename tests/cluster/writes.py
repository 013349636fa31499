"""The operator's writes by the API server's own count: one that changed nothing counts too.

Only the operator applies children (server-side) and writes the status of LLMServices; what the
garbage collector and other controllers do for earlier tests is left out.
"""

import time
from collections import Counter

from devcluster import Cluster

from tests.e2e import writes


def count(cluster: Cluster) -> Counter[str]:
    """Since the API server started, by "VERB resource/subresource"."""
    found = writes.count(cluster)
    ours = {"APPLY", "PATCH llmservices/status"}
    return Counter(
        {name: n for name, n in found.items() if name in ours or name.split()[0] in ours}
    )


def until_quiet(cluster: Cluster, seconds: float = 2, patience: float = 40) -> Counter[str]:
    """The count, once nothing was written for so long; AssertionError where it goes on."""
    deadline = time.monotonic() + patience
    before = count(cluster)
    while True:
        time.sleep(seconds)
        after = count(cluster)
        if after == before:
            return after
        assert time.monotonic() < deadline, f"written again and again: {after - before}"
        before = after
