import socket
from pathlib import Path

import pytest
from devcluster import state
from devcluster.addresses import Addresses
from devcluster.layout import Layout
from devcluster.state import State

_WANTED = State("kwok", "embedded")


def test_every_cluster_gets_an_index_of_its_own_and_keeps_it() -> None:
    names = ["a", "b", "c"]
    first = [state.claim(Layout.of(name), _WANTED).index for name in names]
    again = [state.claim(Layout.of(name), _WANTED).index for name in names]
    assert len(set(first)) == 3
    assert first == again


def test_an_index_whose_port_is_taken_is_passed_over() -> None:
    index = state.claim(Layout.of("a"), _WANTED).index
    Layout.of("a").state.unlink()
    with socket.socket() as other:
        other.bind(("127.0.0.1", Addresses(index).api_port))
        other.listen()
        assert state.claim(Layout.of("b"), _WANTED).index != index


def test_a_cluster_keeps_the_shape_it_was_made_with() -> None:
    state.claim(Layout.of("a"), _WANTED)
    assert state.claim(Layout.of("a"), State("node", "embedded")).shape == "kwok"


@pytest.mark.parametrize("content", ["", "{", '{"shape": "cube", "provider": "kind", "index": 1}'])
def test_a_broken_record_is_as_none(content: str) -> None:
    place = Layout.of("a")
    place.folder.mkdir(parents=True)
    place.state.write_text(content)
    assert state.read(place) is None


@pytest.mark.parametrize("name", ["", "A", "a_b", "../a", "-a", "a" * 21])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no cluster name"):
        Layout.of(name)


def test_clusters_of_two_caches_differ_outside_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Layout.of("a").id
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert Layout.of("a").id != one
