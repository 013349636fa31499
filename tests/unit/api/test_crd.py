"""The CRD is made of the types, checked in, and documents itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from llmservice_operator.api.crd import crd

_CHECKED_IN = Path(__file__).parents[3] / "crds" / "llmservice.io_llmservices.yaml"
_OLDER = Path(__file__).parents[2] / "cluster" / "older"


def _schema() -> dict[str, Any]:
    return crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def _fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from _fields(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _fields(schema[key], f"{path}[]")


def test_the_checked_in_file_is_current() -> None:
    stale = "run: make generate"
    assert yaml.safe_load(_CHECKED_IN.read_text()) == crd(), stale


def test_every_field_is_documented() -> None:
    fields = dict(_fields(_schema()))
    bare = {name for name, schema in fields.items() if "description" not in schema}
    assert bare == {".metadata"}


def _written(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{path}.{name}"
            yield from _written(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _written(inner, f"{path}[]")


def test_every_field_is_in_an_object_that_has_to_go_on_working() -> None:
    kept = (obj for file in _OLDER.glob("*.yaml") for obj in yaml.safe_load_all(file.read_text()))
    written = {path for obj in kept for path in _written(obj["spec"])}
    fields = {name for name, _ in _fields(_schema()["properties"]["spec"])}
    fields -= {name for name in fields if name.startswith(".engine.args.")}  # which are refused
    assert not fields - written, "write a file of this schema into tests/cluster/older"


def test_every_string_and_list_is_bounded_so_that_rules_stay_cheap() -> None:
    unbounded = [
        name
        for name, schema in _fields(_schema()["properties"]["spec"])
        if (schema.get("type") == "string" and not {"maxLength", "enum"} & schema.keys())
        or (schema.get("type") == "array" and "maxItems" not in schema)
    ]
    assert not unbounded


def test_replicas_and_autoscaling_exclude_each_other_so_neither_has_a_default() -> None:
    spec = _schema()["properties"]["spec"]["properties"]
    assert "default" not in spec["replicas"]
    assert "default" not in spec["autoscaling"]


def test_every_list_says_whether_writers_can_share_it() -> None:
    untold = [
        name
        for name, schema in _fields(_schema()["properties"]["spec"])
        if schema.get("type") == "array" and "x-kubernetes-list-type" not in schema
    ]
    assert not untold
