"""Each field of each child is as the checked-in manifests have it: what a change of the operator
does to the children can be read in its diff.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from llmservice_operator.__main__ import main
from llmservice_operator.api.crd import crd

_ROOT = Path(__file__).parents[3]
_FULL = {name: Path(__file__).parent / f"{name}.yaml" for name in ("everything", "proxy", "alone")}
_RESOURCES = {"minimal": _ROOT / "examples/minimal.yaml", **_FULL}
_IMAGES = [f"--{name}-image=llmservice/{name}:1" for name in ("server", "proxy", "redis")]


@pytest.mark.parametrize("name", _RESOURCES)
def test_children_are_as_checked_in(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", str(_RESOURCES[name]), *_IMAGES]) == 0
    golden = Path(__file__).parent / "golden" / f"{name}.yaml"
    assert capsys.readouterr().out == golden.read_text(), "if it is meant: make generate"


def _unwritten(schema: dict[str, Any], values: list[Any], path: str) -> Iterator[str]:
    """The fields of a schema that none of the values has."""
    if not values:
        yield path
    if schema.get("type") == "array":
        items = [item for value in values for item in value]
        yield from _unwritten(schema["items"], items, path)
    elif not schema.get("x-kubernetes-preserve-unknown-fields"):
        for name, child in schema.get("properties", {}).items():
            found = [value[name] for value in values if name in value]
            yield from _unwritten(child, found, f"{path}.{name}")


def test_the_golden_resources_have_every_field_that_no_other_excludes() -> None:
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    specs = [yaml.safe_load(path.read_text())["spec"] for path in _FULL.values()]
    assert list(_unwritten(schema, specs, "spec")) == [
        "spec.gpu.claimTemplate",
        "spec.replicas",
        "spec.disruption.maxUnavailable",
    ]
