from pathlib import Path

import pytest
from devcluster import Cluster, ClusterError, images, imagestore, state
from devcluster.state import State

from tests.unit.devcluster import programs
from tests.unit.devcluster.layouts import write_image

_LISTS = 'case "$*" in *list*) exit ;; esac'


@pytest.fixture
def tag() -> str:
    place = imagestore.layout_of("some/app")
    return imagestore.tag_of("some/app", write_image(place, [b"layer" * 100_000]))


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster("a")
    state.claim(made.layout, State("node", "embedded"), lambda _: True)
    return made


def test_an_importer_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster, tag: str
) -> None:
    monkeypatch.setattr(images, "_IMPORT_SECONDS", 0.5)
    programs.put(tmp_path / "bin", monkeypatch, "ctr", f"{_LISTS}; exec sleep 60")
    with pytest.raises(ClusterError, match=f"importing {tag}: not within"):
        images.load(cluster, tag)


def test_an_importer_that_ends_early_is_told_with_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster, tag: str
) -> None:
    programs.put(tmp_path / "bin", monkeypatch, "ctr", f"{_LISTS}; echo no room >&2; exit 1")
    with pytest.raises(ClusterError, match=f"importing {tag}: no room"):
        images.load(cluster, tag)
