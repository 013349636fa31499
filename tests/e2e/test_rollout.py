"""A change of the resource reaches its pods without a lost request."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from devcluster import images, imagestore
from devcluster.images import Build

from tests.e2e.service import Service

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
    """Its control is in test_healing.py: the same clients see a pod that nothing replaces first."""
    (old,) = service.items("pods")

    with service.load("fresh", "pooled", "streams") as clients:
        service.patch({"engine": {"image": newer_image, "args": {"max-model-len": 768}}})
        service.wait_settled()
        report = clients.stop()

    (new,) = service.items("pods")
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert new["spec"]["containers"][0]["image"] == newer_image
    assert "768" in service.config_of(new)
    assert report["failures"] == []
    assert min(report["fresh"], report["pooled"], report["streams"]) >= 3, report
