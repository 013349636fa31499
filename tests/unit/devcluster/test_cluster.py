"""Which cluster is brought up, and who takes it down."""

from pathlib import Path

import pytest
from devcluster import Cluster, ClusterError, provider, state
from devcluster.layout import Layout
from devcluster.provider import Machine
from devcluster.state import State

from tests.unit.devcluster import programs


def _on(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    monkeypatch.setattr(provider.Machine, "here", lambda: machine)


def _recorded(found: State) -> Cluster:
    state.claim(Layout.of("a"), found, lambda _: True)
    return Cluster("a")


def test_another_shape_is_refused_before_a_provider_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _on(monkeypatch, Machine(linux=True, root=False, kind=False, requested=""))
    with pytest.raises(ClusterError, match=r"has shape kwok: .*devcluster down a\)"):
        _recorded(State("kwok", "embedded")).up("node")


def test_another_provider_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _on(monkeypatch, Machine(linux=True, root=True, kind=True, requested=""))
    with pytest.raises(ClusterError, match="has provider kind, not embedded: take it down"):
        _recorded(State("node", "kind")).up("node")


def test_down_without_a_record_removes_what_kind_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    script = f'echo "$@" >> "{said}"; [ "$1" != get ] || echo devcluster-a'
    programs.put(tmp_path / "bin", monkeypatch, "kind", script)

    Cluster("a").down()

    assert "delete cluster --name=devcluster-a" in said.read_text()
