from pathlib import Path

import pytest
from devcluster import dockerbuild
from devcluster.build import Build
from devcluster.waiting import ClusterError

from tests.unit.devcluster import programs

# as Docker does: the file with the image's number is removed first, and written anew at the end
_DOCKER = """echo "$@" >> "{said}"
for word; do
    case $word in --iidfile=*)
        rm -f "${{word#*=}}"
        echo sha256:0123456789abcdef > "${{word#*=}}" ;;
    esac
done"""


def test_an_image_is_tagged_by_the_number_that_docker_gave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    programs.put(tmp_path / "bin", monkeypatch, "docker", _DOCKER.format(said=said))

    tag = dockerbuild.Docker().image(Build(tmp_path, tmp_path / "Dockerfile"), "some/app")

    assert tag == "some/app:dev-0123456789ab"
    assert said.read_text().splitlines()[-1] == f"tag sha256:0123456789abcdef {tag}"


def test_a_failing_build_shows_what_docker_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.put(tmp_path / "bin", monkeypatch, "docker", "echo no such luck >&2; exit 1")

    with pytest.raises(ClusterError, match="docker build failed:\nno such luck"):
        dockerbuild.Docker().image(Build(tmp_path, tmp_path / "Dockerfile"), "some/app")
