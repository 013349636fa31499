"""A change of the resource reaches its pods without a lost request."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from devcluster import images, imagestore
from devcluster.images import Build

from tests.e2e.service import START_SECONDS, Service

_REPOSITORY = "selftest/server"
_NEWER = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nLABEL newer=true\n"


@pytest.fixture
def newer_image(service: Service, tmp_path: Path) -> Iterator[str]:
    """The server's image with a label more, on the node."""
    (pod,) = service.items("pods")
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(_NEWER)
    with images.builder() as builder:
        args = {"BASE_IMAGE": pod["spec"]["containers"][0]["image"]}
        tag = builder.image(Build(tmp_path, dockerfile, args=args), _REPOSITORY)
    images.load(service.cluster, tag)
    yield tag
    shutil.rmtree(imagestore.layout_of(_REPOSITORY), ignore_errors=True)


def _patched_under_load(service: Service, engine: dict[str, Any]) -> dict[str, Any]:
    """The pod that serves once the change is rolled out, with no request lost on the way."""
    (old,) = service.items("pods")

    with service.load() as clients:
        service.patch({"engine": engine})
        service.wait_settled(START_SECONDS)
        report = clients.stop()

    (new,) = service.items("pods")
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert report["failures"] == []
    assert min(report["fresh"], report["pooled"], report["streams"]) >= 3, report
    return new


def test_a_newer_image_rolls_out_without_a_failed_request(
    service: Service, newer_image: str
) -> None:
    pod = _patched_under_load(service, {"image": newer_image})

    assert pod["spec"]["containers"][0]["image"] == newer_image


def test_another_engine_argument_rolls_out_without_a_failed_request(service: Service) -> None:
    pod = _patched_under_load(service, {"image": None, "args": {"max-model-len": 768}})

    assert "768" in service.config_of(pod)


def test_the_same_clients_do_see_a_pod_that_is_killed(service: Service) -> None:
    """The control: without a drain there are failures, so the proofs above can fail."""
    (pod,) = service.items("pods")

    with service.load() as clients:
        name = pod["metadata"]["name"]
        service.kubectl("delete", "pod", name, "--grace-period=0", "--force")
        time.sleep(3)
        report = clients.stop()

    assert report["failures"]
