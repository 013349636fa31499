"""The operator's requests by its own count: all that it and kopf send but watches and its Lease.

A write that changes nothing counts too, and so do Events, deletions and what was refused.
"""

import time
from collections import Counter

from bench.operator.samples import samples
from tests.cluster.operator_process import Operator


def count(operator: Operator) -> Counter[str]:
    """The writes since the process started, by "METHOD Kind"."""
    requests = _requests(operator)
    return Counter({name: n for name, n in requests.items() if not name.startswith("GET ")})


def reads(operator: Operator) -> Counter[str]:
    """Lists too, since the process started, by "GET Kind"."""
    return _requests(operator) - count(operator)


def _requests(operator: Operator) -> Counter[str]:
    requests: Counter[str] = Counter()
    for of, value in samples(operator.metrics(), "rest_client_requests_total"):
        if of["kind"] != "Lease" and of["verb"] != "watch":  # each opens anew now and then
            requests[f"{of['method']} {of['kind']}"] += int(value)
    return requests


def until_quiet(operator: Operator, seconds: float = 2, patience: float = 40) -> Counter[str]:
    """The count, once nothing was written for so long; AssertionError where it goes on."""
    deadline = time.monotonic() + patience
    before = count(operator)
    while True:
        time.sleep(seconds)
        after = count(operator)
        if after == before:
            return after
        assert time.monotonic() < deadline, f"written again and again: {after - before}"
        before = after
