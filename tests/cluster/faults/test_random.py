"""Random sequences of edits, drift and faults on the real API server; the model's thousands are in
tests/unit/controller/test_converges.py.
"""

import itertools
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.cluster import services
from tests.cluster.faults.proxy import Proxy
from tests.cluster.kube import Kube, Manifest, RefusedError
from tests.cluster.operator_process import Operator
from tests.length import lasting

_NAMES = ("a", "b")
_SPECS: list[Manifest] = [
    {"replicas": 3, "autoscaling": None},
    {"replicas": None, "autoscaling": {"min": 2, "max": 4}},
    {"engine": {"args": {"max-model-len": 2048}}},
    {"engine": {"args": None, "image": "server:2"}},
    {"disruption": {"maxUnavailable": 2}},
    {"expose": {"service": {"port": 8080}}},
]
_DRIFT: dict[str, Manifest] = {
    "Service": {"spec": {"selector": {"drifted": "yes"}}},
    "Deployment": {"spec": {"paused": True, "replicas": 4}},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": 9}},
    "ServiceAccount": {"automountServiceAccountToken": True},
}
_NAME, _KIND = st.sampled_from(_NAMES), st.sampled_from(list(_DRIFT))
_OPERATIONS = st.one_of(
    st.tuples(st.just("edit"), _NAME, st.sampled_from(_SPECS)),
    st.tuples(st.just("recreate"), _NAME),
    st.tuples(st.just("drift"), _NAME, _KIND),
    st.tuples(st.just("lose"), _NAME, _KIND),
    st.tuples(st.just("kill"), st.integers(1, 6), st.booleans()),
    st.tuples(st.just("cut")),
    st.tuples(st.just("errors"), st.sampled_from([403, 409, 429, 500])),
    st.tuples(st.just("down"), st.booleans()),
    st.tuples(st.just("shuffle")),
    st.tuples(st.just("wait"), st.sampled_from([0.05, 0.3, 1.0])),
)
_LOG = 50_000  # characters of it that a failure shows at most
_runs = itertools.count()


@pytest.fixture
def failed() -> list[Exception]:
    """What the first sequence that failed failed of."""
    return []


@pytest.mark.timeout(lasting(300, 3600))
@settings(
    max_examples=lasting(2, 40),
    deadline=None,
    derandomize=os.environ.get("CI") == "true",
    database=None,
    phases=[Phase.explicit, Phase.generate],  # a failure says all; to shrink it takes minutes
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(_OPERATIONS, min_size=8, max_size=20))
def test_whatever_happens_it_ends_as_it_should(
    behind: Operator,
    proxy: Proxy,
    kube: Kube,
    converged: Callable[..., None],
    failed: list[Exception],
    operations: list[tuple[Any, ...]],
) -> None:
    if failed:  # it is played once more to be shown: it might pass now, or fail of something else
        raise failed[0]
    names = {name: f"{name}{next(_runs)}" for name in _NAMES}
    played = [f"{names}"]
    logged = behind.log.stat().st_size
    try:
        for name in names.values():
            kube.create(services.minimal(name))
        for operation in operations:
            played.append(f"{datetime.now(UTC).time()} {operation}")
            with suppress(RefusedError):  # what is not there cannot be changed
                _play(behind, proxy, kube, names, operation)
        proxy.heal()
        played.append(f"{datetime.now(UTC).time()} healed")
        if not behind.runs():
            _launch(behind)
        behind.wait_ready()
        converged(*names.values(), seconds=120)
        assert behind.runs(), "it ended by itself"
    except Exception as failure:
        log = behind.log.read_bytes()[logged:].decode()[-_LOG:]
        failure.add_note("\n".join([*played, log]))
        failed.append(failure)
        raise
    finally:
        for name in names.values():
            kube.delete("LLMService", name)


def _launch(behind: Operator) -> None:
    assert behind.process
    assert behind.process.poll() == -signal.SIGKILL, "it ended by itself"
    behind.launch()


def _play(  # noqa: C901 - a table
    behind: Operator, proxy: Proxy, kube: Kube, names: dict[str, str], operation: tuple[Any, ...]
) -> None:
    match operation:
        case "edit", name, spec:
            kube.merge("LLMService", names[name], {"spec": spec})
        case "recreate", name:
            kube.delete("LLMService", names[name])
            kube.create(services.minimal(names[name]))
        case "drift", name, kind:
            kube.merge(kind, names[name], _DRIFT[kind])
        case "lose", name, kind:
            kube.delete(kind, names[name])
        case "kill", number, arrives:
            if behind.runs():
                proxy.at_write(number, partial(behind.stop, signal.SIGKILL), arrives=arrives)
            else:
                _launch(behind)
        case "cut":
            proxy.cut()
        case "errors", code:
            proxy.errors = () if proxy.errors else (code,)
        case "down", down:
            proxy.down = down
            proxy.cut()
        case "shuffle":
            proxy.shuffles = not proxy.shuffles
        case _, seconds:
            time.sleep(seconds)
