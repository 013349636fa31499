"""A change of the resource reaches its pods without a lost request."""

import time

from tests.e2e.service import START_SECONDS, Service


def test_a_changed_engine_argument_rolls_out_without_a_failed_request(service: Service) -> None:
    (old,) = service.items("pods")

    with service.load() as clients:
        service.patch({"engine": {"args": {"max-model-len": 768}}})
        service.wait_settled(START_SECONDS)
        report = clients.stop()

    (new,) = service.items("pods")
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert report["failures"] == []
    assert min(report["fresh"], report["pooled"], report["streams"]) >= 3, report


def test_the_same_clients_do_see_a_pod_that_is_killed(service: Service) -> None:
    """The control: without a drain there are failures, so the proof above can fail."""
    (pod,) = service.items("pods")

    with service.load() as clients:
        name = pod["metadata"]["name"]
        service.kubectl("delete", "pod", name, "--grace-period=0", "--force")
        time.sleep(3)
        report = clients.stop()

    assert report["failures"]
