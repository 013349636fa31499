import json
import socket
from pathlib import Path

import pytest
from devcluster import state
from devcluster.addresses import MAX_CLUSTERS, Addresses
from devcluster.layout import Layout
from devcluster.state import State
from devcluster.waiting import ClusterError

from tests.unit.devcluster import programs

_WANTED = State("kwok", "embedded")


def _always(_: Addresses) -> bool:
    return True


def test_every_cluster_gets_an_index_of_its_own_and_keeps_it() -> None:
    names = ["a", "b", "c"]
    first = [state.claim(Layout.of(name), _WANTED, _always).index for name in names]
    again = [state.claim(Layout.of(name), _WANTED, _always).index for name in names]
    assert first == again == [0, 1, 2]


def test_an_index_that_is_in_use_by_others_is_passed_over() -> None:
    def from_five(addresses: Addresses) -> bool:
        return addresses.index >= 5

    assert state.claim(Layout.of("a"), _WANTED, from_five).index == 5
    assert state.claim(Layout.of("b"), _WANTED, from_five).index == 6


def test_without_a_free_index_the_error_says_what_to_do() -> None:
    with pytest.raises(ClusterError, match="take a cluster down"):
        state.claim(Layout.of("a"), _WANTED, lambda _: False)


def _route(folder: Path, monkeypatch: pytest.MonkeyPatch, *targets: str) -> None:
    said = json.dumps([{"dst": target} for target in targets])
    programs.put(folder / "bin", monkeypatch, "ip", f"echo '{said}'")


def test_a_range_that_is_routed_elsewhere_is_not_free_and_the_error_names_the_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _route(tmp_path, monkeypatch, "default", "198.18.0.0/16", "198.19.0.0/16", "10.0.0.0/8")
    with pytest.raises(ClusterError, match=r"routed: 198\.18\.0\.0/16, 198\.19\.0\.0/16\)"):
        state.claim(Layout.of("a"), _WANTED)


def test_the_two_halves_of_a_vpns_default_route_take_no_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _route(tmp_path, monkeypatch, "default", "0.0.0.0/1", "128.0.0.0/1")
    state.claim(Layout.of("a"), _WANTED)


def test_a_port_that_is_listened_on_is_not_free() -> None:
    with socket.socket() as other:
        addresses = next(a for a in map(Addresses, range(MAX_CLUSTERS)) if state.free_here(a))
        # a connection that ended a moment ago may linger there
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", addresses.api_port))
        other.listen()
        assert not state.free_here(addresses)


def test_a_cluster_keeps_the_shape_it_was_made_with() -> None:
    state.claim(Layout.of("a"), _WANTED, _always)
    assert state.claim(Layout.of("a"), State("node", "embedded"), _always).shape == "kwok"


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
