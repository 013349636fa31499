"""The number of replicas has one owner at a time, and never falls to one on the way between two."""

import threading

import pytest
from devcluster import Cluster

from tests.cluster import services
from tests.cluster.kube import Kube, eventually
from tests.cluster.operator_process import Operator


class _Seen:
    """Each number of replicas that the Deployment had, by polling 100 times a second."""

    def __init__(self, kube: Kube, name: str) -> None:
        self.numbers: list[int] = []
        self._stop = threading.Event()

        def look() -> None:
            ending = False
            while not ending:
                ending = self._stop.wait(0.01)  # and once more after that
                replicas = kube.there("Deployment", name)["spec"]["replicas"]
                if self.numbers[-1:] != [replicas]:
                    self.numbers.append(replicas)

        self._thread = threading.Thread(target=look)

    def __enter__(self) -> list[int]:
        self._thread.start()
        return self.numbers

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_switching_autoscaling_on_and_off_keeps_the_replicas_that_serve(
    operator: Operator, kube: Kube
) -> None:
    kube.create(services.minimal("hand", replicas=3))
    services.wait_ready(kube, "hand")

    with _Seen(kube, "hand") as seen:
        scaling = {"replicas": None, "autoscaling": {"min": 2, "max": 5}}
        kube.merge("LLMService", "hand", {"spec": scaling})
        eventually("an autoscaler", lambda: kube.get("HorizontalPodAutoscaler", "hand"))
        services.wait_ready(kube, "hand")
        # whatever else changes in the Deployment leaves the number alone too
        kube.merge("LLMService", "hand", {"spec": {"pod": {"annotations": {"a": "b"}}}})
        eventually(
            "the annotation",
            lambda: (
                kube.there("Deployment", "hand")["spec"]["template"]["metadata"]
                .get("annotations", {})
                .get("a")
            ),
        )
        assert kube.there("Deployment", "hand")["spec"]["replicas"] == 3
        fixed = {"replicas": 4, "autoscaling": None}
        kube.merge("LLMService", "hand", {"spec": fixed})
        eventually("four", lambda: kube.there("Deployment", "hand")["spec"]["replicas"] == 4)
    assert seen == [3, 4]


def test_what_the_autoscaler_decides_stays_decided(operator: Operator, kube: Kube) -> None:
    kube.create(services.autoscaled("auto"))
    services.wait_ready(kube, "auto")
    assert kube.there("Deployment", "auto")["spec"]["replicas"] == 2  # its minimum, from the start

    kube.merge("Deployment", "auto", {"spec": {"replicas": 4}}, "scale", manager="hpa")
    services.wait_ready(kube, "auto")
    kube.merge("LLMService", "auto", {"spec": {"pod": {"annotations": {"a": "b"}}}})
    services.wait_condition(kube, "auto", "Ready", "True", "Serving")

    assert kube.there("Deployment", "auto")["spec"]["replicas"] == 4


@pytest.mark.parametrize("written", [{"replicas": 1}, {}], ids=["written", "not written"])
def test_scale_works_where_autoscaling_does_not_own_the_number(
    operator: Operator, kube: Kube, cluster: Cluster, written: dict[str, int]
) -> None:
    kube.create(services.minimal("sized", **written))
    services.wait_ready(kube, "sized")

    cluster.kubectl("scale", "llm/sized", "--replicas=3", "-n", kube.namespace)

    eventually("three", lambda: kube.there("Deployment", "sized")["spec"]["replicas"] == 3)
    services.wait_ready(kube, "sized")
    selector = kube.there("LLMService", "sized")["status"]["selector"]
    assert len(kube.list("Pod", selector)) == 3


def test_a_deployment_scaled_by_hand_is_scaled_back(operator: Operator, kube: Kube) -> None:
    kube.create(services.minimal("fixed", replicas=2))
    services.wait_ready(kube, "fixed")

    kube.merge("Deployment", "fixed", {"spec": {"replicas": 5}}, "scale", manager="hand")

    eventually("two", lambda: kube.there("Deployment", "fixed")["spec"]["replicas"] == 2)
