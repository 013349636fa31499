from pathlib import Path, PurePosixPath

from devcluster import kind
from devcluster.layout import Layout

_PLACE = "demo"


def test_every_command_names_our_cluster_only(cache: Path) -> None:
    place = Layout.of(_PLACE)
    commands = [
        kind.create_command(place),
        kind.export_command(place),
        kind.delete_command(place),
        kind.load_command(place, Path("image.tar")),
    ]
    assert all("--name=devcluster-demo" in command for command in commands)
    assert kind.start_command(place) == ["docker", "start", "devcluster-demo-control-plane"]


def test_the_users_own_kubeconfig_is_never_written(cache: Path) -> None:
    place = Layout.of(_PLACE)
    own = f"--kubeconfig={cache / 'clusters' / 'demo' / 'kubeconfig'}"
    writing = [kind.create_command(place), kind.export_command(place), kind.delete_command(place)]
    assert all(own in command for command in writing)


def test_the_node_sees_the_cache_where_paths_are_translated_to(cache: Path) -> None:
    (node,) = kind.config()["nodes"]
    (mount,) = node["extraMounts"]
    assert mount["hostPath"] == str(cache)
    expected = PurePosixPath(mount["containerPath"]) / "models" / "a"
    assert kind.node_path(Path("models/a")) == expected
