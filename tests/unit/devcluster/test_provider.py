import dataclasses

import pytest
from devcluster.provider import Machine, choose
from devcluster.waiting import ClusterError

_ROOT = Machine(linux=True, root=True, kind=False, requested="")
_USER = dataclasses.replace(_ROOT, root=False)
_MAC = dataclasses.replace(_USER, linux=False)


def test_root_on_linux_runs_the_node_itself_even_where_kind_is_there() -> None:
    assert choose("node", dataclasses.replace(_ROOT, kind=True)) == "embedded"


@pytest.mark.parametrize("machine", [_USER, _MAC])
def test_kind_is_taken_where_the_node_cannot_run(machine: Machine) -> None:
    assert choose("node", dataclasses.replace(machine, kind=True)) == "kind"


@pytest.mark.parametrize("machine", [_USER, _MAC])
def test_without_root_and_kind_the_error_says_what_to_do(machine: Machine) -> None:
    with pytest.raises(ClusterError, match=r"root on Linux .*, or kind and docker"):
        choose("node", machine)


def test_kind_can_be_asked_for() -> None:
    assert choose("node", dataclasses.replace(_ROOT, kind=True, requested="kind")) == "kind"


def test_kind_asked_for_but_absent_is_an_error() -> None:
    with pytest.raises(ClusterError, match="install kind and docker"):
        choose("node", dataclasses.replace(_ROOT, requested="kind"))


def test_an_unknown_provider_is_an_error() -> None:
    with pytest.raises(ClusterError, match="write embedded or kind"):
        choose("node", dataclasses.replace(_ROOT, requested="minikube"))


def test_fake_nodes_need_neither_root_nor_kind() -> None:
    assert choose("kwok", dataclasses.replace(_USER, requested="kind")) == "embedded"
    with pytest.raises(ClusterError, match="needs Linux"):
        choose("kwok", _MAC)
