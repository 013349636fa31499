"""An API server that is down, slow, or answers with errors: afterwards all is as it should be."""

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.cluster import services
from tests.cluster.faults.proxy import Proxy
from tests.cluster.kube import Kube, RefusedError
from tests.cluster.operator_process import Operator
from tests.length import lasting

pytestmark = pytest.mark.timeout(900)


def test_down(behind: Operator, proxy: Proxy, kube: Kube, converged: Callable[..., None]) -> None:
    for name in ("edited", "damaged"):
        kube.create(services.minimal(name))
    converged("edited", "damaged")

    proxy.down = True
    proxy.cut()
    kube.merge("LLMService", "edited", {"spec": {"replicas": 2}})
    kube.delete("Service", "damaged")
    kube.create(services.minimal("created"))
    time.sleep(lasting(0, 60))
    behind.wait(lambda: not behind.leads(), "deposed")
    proxy.heal()

    converged("edited", "damaged", "created")
    assert behind.runs()


def test_slow(behind: Operator, proxy: Proxy, kube: Kube, converged: Callable[..., None]) -> None:
    proxy.delay = lasting(1.0, 5.0)
    for name in ("one", "two"):
        kube.create(services.minimal(name))
    for name in ("one", "two"):
        services.wait_condition(kube, name, "Ready", "True", "Serving", seconds=240)
    kube.delete("Service", "one")
    proxy.heal()
    converged("one", "two")


def test_one_that_answers_no_write_of_a_kind(
    behind: Operator, proxy: Proxy, kube: Kube, converged: Callable[..., None]
) -> None:
    proxy.swallows = "poddisruptionbudgets"
    kube.create(services.minimal("heard"))
    told = services.wait_condition(kube, "heard", "Degraded", "True", "ApiFailed")
    assert told["message"].startswith("PodDisruptionBudget heard cannot be written: ")
    services.wait_condition(kube, "heard", "Ready", "True", "Serving")
    proxy.heal()
    converged("heard")


_CODES = (429, 500, 409, 403)


@pytest.mark.parametrize("codes", lasting([_CODES], [(code,) for code in _CODES]), ids=str)
def test_errors_at_random(
    behind: Operator,
    proxy: Proxy,
    kube: Kube,
    converged: Callable[..., None],
    codes: tuple[int, ...],
) -> None:
    proxy.errors = codes
    proxy.cut()
    until, number = time.monotonic() + lasting(4, 180), 0
    while time.monotonic() < until:
        name = f"r{number % 4}"
        if number < 4:
            kube.create(services.minimal(name))
        else:
            kube.merge("LLMService", name, {"spec": {"replicas": 1 + number % 3}})
            if number // 4 % 25 < 4:  # more often would be a fight
                with suppress(RefusedError):  # it may not be there yet
                    kube.merge("Service", name, {"spec": {"selector": {"drifted": str(number)}}})
        number += 1
        time.sleep(0.3)
    before = proxy.writes.total()
    time.sleep(1)
    assert proxy.writes.total() - before < 60, "a storm"
    proxy.heal()
    converged("r0", "r1", "r2", "r3", seconds=120)
