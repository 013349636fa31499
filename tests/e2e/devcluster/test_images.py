"""Images reach a real node without a registry, and only what changed is moved."""

import json
import re
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from devcluster import Cluster, ClusterError, images, imagestore
from devcluster.images import Build

_REPOSITORY = "selftest/app"
_DOCKERFILE = 'ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY code.py /\nCMD ["python3", "/code.py"]\n'


@pytest.fixture(scope="module", autouse=True)
def layout() -> Generator[None]:
    """What is built here is not kept."""
    yield
    shutil.rmtree(imagestore.layout_of(_REPOSITORY), ignore_errors=True)


@pytest.fixture(scope="module")
def cluster() -> Generator[Cluster]:
    own = Cluster("selftest-images")
    own.down()
    try:
        own.up("node")
        yield own
    finally:
        own.down()


def build(context: Path, code: str) -> str:
    (context / "Dockerfile").write_text(_DOCKERFILE)
    (context / "code.py").write_text(code)
    with images.builder() as builder:
        args = {"BASE_IMAGE": builder.base()}
        return builder.image(Build(context, context / "Dockerfile", args=args), _REPOSITORY)


def run(cluster: Cluster, name: str, tag: str) -> str:
    container = {"name": name, "image": tag, "imagePullPolicy": "Never"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    cluster.kubectl("apply", "-f", "-", input=json.dumps(pod))
    succeeded = "--for=jsonpath={.status.phase}=Succeeded"
    cluster.kubectl("wait", succeeded, f"pod/{name}", "--timeout=60s", timeout=70)
    return cluster.kubectl("logs", name)


@pytest.mark.timeout(1200)
def test_a_code_change_moves_kilobytes_and_gives_another_tag(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = build(tmp_path, "print('first')")
    images.load(cluster, first)
    assert run(cluster, "first", first) == "first\n"
    assert build(tmp_path, "print('first')") == first

    second = build(tmp_path, "print('second')")
    assert second != first
    capsys.readouterr()
    images.load(cluster, second)
    moved = re.search(r"\(([0-9.,]+) MB moved\)", capsys.readouterr().out)
    assert run(cluster, "second", second) == "second\n"
    if cluster.provider == "embedded":
        assert moved is not None
        assert float(moved[1].replace(",", "")) < 1

    with pytest.raises(ClusterError):  # nothing of this name was built
        images.load(cluster, f"{_REPOSITORY}:dev-000000000000")


@pytest.mark.timeout(600)
def test_a_failing_build_shows_what_the_step_said(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN echo no such luck >&2; exit 3\n"
    )
    with images.builder() as builder:
        build = Build(tmp_path, tmp_path / "Dockerfile", args={"BASE_IMAGE": builder.base()})
        with pytest.raises(ClusterError, match="no such luck"):
            builder.image(build, _REPOSITORY)
