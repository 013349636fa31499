"""Killed at every write of a reconcile, the operator finishes the work when it is back."""

import signal
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.cluster import services
from tests.cluster.faults.proxy import Proxy
from tests.cluster.kube import Kube, condition
from tests.cluster.operator_process import Operator
from tests.length import lasting

# Whether the write that it dies of is carried out: of those with an even number, with an odd one.
_ARRIVES = lasting([(True, False)], [(True, False), (False, True)])
_LOOK = 0.05  # seconds between two looks
_QUIET = 2.5  # seconds without a write after which a reconcile has sent all that it has to send
# The old configuration goes only once pods of the new one have answered for ten seconds.
_CHANGED = lasting(_QUIET, 14.0)

pytestmark = pytest.mark.timeout(900)


class Deaths:
    """For each k: the operator dies at the k-th write of what the loop's body does, and is started
    again. Ends with the first that it survives.
    """

    def __init__(self, operator: Operator, proxy: Proxy, arrives: tuple[bool, bool]) -> None:
        self._operator, self._proxy, self._arrives = operator, proxy, arrives

    def until_survived(self, quiet: float, done: Callable[[], bool]) -> Iterator[int]:
        """quiet: seconds without a write after which, all being done, no more is sent."""
        number, survived = 0, False
        while not survived:
            number += 1
            die = partial(self._operator.stop, signal.SIGKILL)
            self._proxy.at_write(number, die, arrives=self._arrives[number % 2])
            yield number
            survived = self._wait(quiet, done)
            if not survived:
                self._operator.start()
            self._proxy.heal()

    def _wait(self, quiet: float, done: Callable[[], bool]) -> bool:
        """False once it is dead, True once all is done and nothing was written for a while."""
        before = None
        while before != (before := self._proxy.writes.copy()) or not done():
            for _ in range(round(quiet / _LOOK)):
                if not self._operator.runs():
                    return False
                time.sleep(_LOOK)
        return True


@pytest.fixture(params=_ARRIVES, ids=str)
def deaths(request: pytest.FixtureRequest, behind: Operator, proxy: Proxy) -> Deaths:
    return Deaths(behind, proxy, request.param)


def _told(kube: Kube, name: str) -> bool:
    """Has the newest generation a status?"""
    service = kube.there("LLMService", name)
    found = condition(service, "Progressing")
    return found.get("observedGeneration") == service["metadata"]["generation"]


def test_of_a_creation(deaths: Deaths, kube: Kube, converged: Callable[..., None]) -> None:
    names: list[str] = []
    for number in deaths.until_survived(_QUIET, lambda: _told(kube, names[-1])):
        names.append(f"made-{number}")
        kube.create(services.minimal(names[-1]))
    assert len(names) > 6, "five children and a status"
    converged(*names)


def test_of_a_change(deaths: Deaths, kube: Kube, converged: Callable[..., None]) -> None:
    """A new configuration, an autoscaler that comes or goes, and its predecessor's end."""
    kube.create(services.minimal("changes"))
    converged("changes")
    number = 0
    for number in deaths.until_survived(_CHANGED, lambda: _told(kube, "changes")):
        spec = {
            "replicas": 3 if number % 2 else None,
            "autoscaling": None if number % 2 else {"min": 2, "max": 5},
            "engine": {"args": {"max-model-len": 1024 * number}},
        }
        kube.merge("LLMService", "changes", {"spec": spec})
    writes = ["a ConfigMap", "a Deployment", "an autoscaler", *lasting([], ["a ConfigMap's end"])]
    assert number > len(writes), f"{writes}, and a status"
    converged("changes")
