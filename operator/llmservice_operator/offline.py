"""The commands that need no cluster: a resource's children and the CRD, as YAML.

What the API server would set is left out of the children: the owner's uid. Refused is what the
types refuse, unknown fields too; rules between fields are held by the API server alone
(kubectl apply --dry-run=server).
"""

import sys
from pathlib import Path
from typing import Any, TextIO, cast

import yaml

from llmservice_operator.api import InvalidSpec, LLMService, Manifest
from llmservice_operator.api.crd import crd
from llmservice_operator.api.resource import KIND
from llmservice_operator.render import RenderDefaults, render


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block, and never refers from one place to another."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)  # pyright: ignore[reportUnknownMemberType]


_Dumper.add_representer(str, _text)


def print_crd(out: TextIO) -> int:
    """Print the CustomResourceDefinition."""
    _dump([crd()], out)
    return 0


def print_children(file: Path, server_image: str, out: TextIO) -> int:
    """Print the children of each LLMService in a file; other objects in it are passed over.

    Returns 1, with a line on stderr, when the file has none or one of them cannot be rendered.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        services = [LLMService.parse(obj, unknown="forbid") for obj in _resources(text)]
        children = [m for s in services for m in render(s, RenderDefaults(server_image))]
    except (InvalidSpec, yaml.YAMLError, OSError) as error:
        print(f"{file}: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        return 1
    for child in children:
        for owner in child["metadata"]["ownerReferences"]:
            del owner["uid"]
    _dump(children, out)
    return 0


def _resources(text: str) -> list[Manifest]:
    """The LLMServices in a file, with what the user wrote of them and the children depend on."""
    objects: list[Any] = [obj for obj in yaml.safe_load_all(text) if isinstance(obj, dict)]
    found = [obj for obj in objects if obj.get("kind") == KIND]
    if not found:
        raise InvalidSpec(f"no {KIND} in it: write apiVersion, kind: {KIND}, metadata and spec")
    return [{"metadata": _identity(obj), "spec": obj.get("spec")} for obj in found]


def _identity(obj: Manifest) -> Manifest:
    meta: object = obj.get("metadata")
    written = cast("Manifest", meta) if isinstance(meta, dict) else {}
    return {key: written[key] for key in ("name", "namespace") if key in written}


def _dump(objects: list[Manifest], out: TextIO) -> None:
    yaml.dump_all(objects, out, _Dumper, sort_keys=False, width=100, allow_unicode=True)
