"""What somebody deletes or edits comes back, and then nothing is written any more."""

import json
import subprocess
import time
from collections.abc import Iterator

import pytest
from llmservice_operator.report import PROGRESS

from tests.e2e import writes
from tests.e2e.service import Service, wait_for

_SILENCE_SECONDS = PROGRESS + 2.0  # longer than the operator puts anything off
# Writes of the last pod's end, once every other is up to date: by the operator and by Kubernetes.
_LATE = 4


@pytest.fixture(scope="module", autouse=True)
def silent_afterwards(applied: Service) -> Iterator[None]:
    """After all of them: who writes on and on after the first still does after the last."""
    yield
    applied.wait_settled()
    settled = writes.count(applied.cluster)

    def silent() -> bool:
        before = writes.count(applied.cluster)
        time.sleep(_SILENCE_SECONDS)
        return writes.count(applied.cluster) == before

    wait_for("silence", silent, lambda: writes.count(applied.cluster))
    late = writes.count(applied.cluster) - settled
    assert late.total() <= _LATE, late


def test_an_edited_child_is_set_right(service: Service) -> None:
    patch = json.dumps([{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9}])
    service.kubectl("patch", "service", service.name, "--type=json", "-p", patch)

    def right() -> bool:
        (child,) = service.items("services")
        return child["spec"]["ports"][0]["targetPort"] == "http"

    wait_for("the Service to lead to the server again", right)
    # Kubernetes' endpoints and proxy rules follow the Service a moment later.
    wait_for("an answer", lambda: _answers(service))


def _answers(service: Service) -> bool:
    try:
        return "Paris" in service.ask("What is the capital of France?")
    except subprocess.SubprocessError:
        return False


def test_a_deleted_deployment_is_made_again(service: Service) -> None:
    (old,) = service.items("deployments")
    service.kubectl("delete", "deployment", service.name)

    def again() -> bool:
        return any(
            d["metadata"]["uid"] != old["metadata"]["uid"] for d in service.items("deployments")
        )

    wait_for("another Deployment", again)
    service.wait_settled()
    wait_for("an answer", lambda: _answers(service))
