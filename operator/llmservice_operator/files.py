"""LLMServices out of a YAML file, and objects as YAML."""

import sys
from pathlib import Path
from typing import Any, TextIO, cast

import yaml

from llmservice_operator.api import InvalidSpec, Manifest
from llmservice_operator.api.resource import KIND


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block, and never refers from one place to another."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)  # pyright: ignore[reportUnknownMemberType]


_Dumper.add_representer(str, _text)


def resources_in(file: Path) -> list[Manifest]:
    """The LLMServices in a file (stdin for -), with what the user wrote of them and the children
    depend on; other objects in it are passed over.

    Raises:
        InvalidSpec: with a sentence, where there are none, or no YAML, or no file.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        objects: list[Any] = [obj for obj in yaml.safe_load_all(text) if isinstance(obj, dict)]
    except (yaml.YAMLError, OSError) as error:
        raise InvalidSpec(" ".join(str(error).split())) from None
    found: list[Manifest] = [obj for obj in objects if obj.get("kind") == KIND]
    if not found:
        raise InvalidSpec(f"no {KIND} in it: write apiVersion, kind: {KIND}, metadata and spec")
    return [{"metadata": _identity(obj), "spec": obj.get("spec")} for obj in found]


def _identity(obj: Manifest) -> Manifest:
    meta: object = obj.get("metadata")
    written = cast("Manifest", meta) if isinstance(meta, dict) else {}
    return {key: written[key] for key in ("name", "namespace") if key in written}


def dump(objects: list[Manifest], out: TextIO) -> None:
    yaml.dump_all(objects, out, _Dumper, sort_keys=False, width=100, allow_unicode=True)
