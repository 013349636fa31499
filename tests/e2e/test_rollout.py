"""A change of the resource reaches its pods without a lost request."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from devcluster import images, imagestore
from devcluster.images import Build

from tests.e2e.service import START_SECONDS, Manifest, Service, wait_for

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
    if os.environ.get("KEEP") == "1":  # the next run is about the image that it builds
        service.patch({"engine": {"image": None}})
    shutil.rmtree(imagestore.layout_of(_REPOSITORY), ignore_errors=True)


def test_a_newer_image_and_argument_roll_out_without_a_failed_request(
    service: Service, newer_image: str
) -> None:
    """Its control is in test_clients.py: the same clients see a pod that nothing replaces first."""
    (old,) = service.items("pods")

    with service.load("models") as light:
        service.patch({"engine": {"image": newer_image, "args": {"max-model-len": 768}}})
        # what keeps cores busy would make the new engine's start several times as long
        about = "the new pod to be about to answer"
        wait_for(about, lambda: _about_to_answer(service, old), timeout=START_SECONDS)
        with service.load("fresh", "pooled", "streams") as heavy:
            assert old["metadata"]["uid"] in _staying(service), "it is too late to show anything"
            service.wait_settled()
            report = heavy.stop()
        throughout = light.stop()

    (new,) = service.items("pods")
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert new["spec"]["containers"][0]["image"] == newer_image
    assert "768" in service.config_of(new)
    assert report["failures"] == throughout["failures"] == []
    assert min(report["fresh"], report["pooled"], report["streams"]) >= 2, report
    assert throughout["models"] >= 100, throughout


def _staying(service: Service) -> set[str]:
    """The pods that are not ending."""
    pods = [pod["metadata"] for pod in service.items("pods")]
    return {pod["uid"] for pod in pods if "deletionTimestamp" not in pod}


def _about_to_answer(service: Service, old: Manifest) -> bool:
    """It still serves beside the old one for ten seconds before that is ended."""
    told = service.get()["status"].get("startup", {})
    loading = told.get("loading", {}).get("phase")
    near = told.get("phase") == "Ready" or loading not in {None, "Starting"}
    return near and told["pod"] != old["metadata"]["name"]
