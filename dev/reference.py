"""docs/reference.md: every field of the resource in a table, made of the CRD.

Limits are the schema's own and, for what the API server holds by rules, the sentences that it
refuses with.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from llmservice_operator.api.crd import crd
from llmservice_operator.api.manifest import Manifest

_RULES = "x-kubernetes-validations"
_BOUND = "self >= "
_ANY = "x-kubernetes-preserve-unknown-fields"
_HEAD = """\
<!-- Written by `make generate` from the docstrings in operator/llmservice_operator/api. -->
# Every field of an LLMService

What `kubectl explain llmservice.spec` tells of `{group}/{version}`, on one page.

- A default is written into the object by the API server; where there is none, the text says what \
holds.
- What stands under "Refused" is refused by the API server, in these words.
- Several writers can share maps, and lists whose entries are told apart or none twice: each \
keeps its own (`kubectl apply --server-side`). Other lists are one writer's.
"""
_COLUMNS = "| field | value | default | what it is for |\n|---|---|---|---|"


def reference() -> str:
    """The whole page."""
    spec = crd()["spec"]
    version = spec["versions"][0]
    root = version["schema"]["openAPIV3Schema"]
    names: list[Manifest] = [r for r in root[_RULES] if "self.metadata.name." in r["rule"]]
    lines = [
        _HEAD.format(group=spec["group"], version=version["name"]),
        *_section("metadata.name", {"description": "Names the children too.", _RULES: names}),
        *_spec(root["properties"]["spec"]),
        *_section("status", root["properties"]["status"]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _spec(spec: Manifest) -> Iterator[str]:
    """A section for each area of the spec, after one for what is none."""
    areas = {name: node for name, node in spec["properties"].items() if "properties" in node}
    rest = {name: node for name, node in spec["properties"].items() if name not in areas}
    yield from _section("spec", {**spec, "properties": rest})
    for name, node in areas.items():
        yield from _section(f"spec.{name}", node)


def _section(title: str, node: Manifest) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"{_line(node['description'])}\n"
    if "properties" in node:
        yield _COLUMNS
        yield from _rows(node, "")
        yield ""
    fields: defaultdict[str, list[str]] = defaultdict(list)
    for field, sentence in _refusals(node, ""):
        fields[sentence].append(f"`{field.strip('.')}`" if field else "")
    if fields:
        yield "Refused:\n"
        for sentence, named in fields.items():
            yield f"- {', '.join(named)}: {sentence}" if all(named) else f"- {sentence}"
        yield ""


def _rows(node: Manifest, path: str) -> Iterator[str]:
    if node.get(_ANY):
        return  # what is listed there takes no value
    for name, child in node.get("properties", {}).items():
        default = child.get("default")
        shown = f"`{default}`" if isinstance(default, str | int) else ""
        if name in node.get("required", ()) or f"has(self.{name})" in _expressions(node):
            shown = "required"
        told = child.get("description", "").removesuffix(f"Default: {default}.")
        cells = (f"`{path}{name}`", _value(child), shown, told)
        yield f"| {' | '.join(_line(cell).replace('|', '&#124;') for cell in cells)} |"
        yield from _rows(child, f"{path}{name}.")
        yield from _rows(child.get("items", {}), f"{path}{name}[].")


def _expressions(node: Manifest) -> list[str]:
    return [rule["rule"] for rule in node.get(_RULES, ())]


def _value(node: Manifest) -> str:
    if "enum" in node:
        return " or ".join(f"`{value}`" for value in node["enum"])
    if node.get("x-kubernetes-int-or-string"):
        return "quantity" if "isQuantity" in str(node[_RULES]) else "number or share"
    match node["type"]:
        case "array":
            return _list(node)
        case "object":
            return _object(node)
        case "string":
            return node.get("format", "text") + _most(node, "maxLength")
        case kind:
            return _range(node) or kind


def _object(node: Manifest) -> str:
    if values := node.get("additionalProperties"):
        return f"map{_most(node, 'maxProperties')} to {_value(values)}"
    return "map to anything" if node.get(_ANY) else "object"


def _list(node: Manifest) -> str:
    items, keys = node["items"], node.get("x-kubernetes-list-map-keys", ())
    shared = {
        "map": f", told apart by {' and '.join(f'`{key}`' for key in keys)}",
        "set": ", none twice",
        "atomic": ", of one writer",
    }.get(node.get("x-kubernetes-list-type", ""), "")
    of = "" if "properties" in items else f" of {_value(items)}"
    return f"list{_most(node, 'maxItems')}{of}{shared}"


def _most(node: Manifest, bound: str) -> str:
    return f" ≤ {node[bound]}" if bound in node else ""


def _range(node: Manifest) -> str:
    bounds = [r["message"] for r in node.get(_RULES, ()) if r["rule"].startswith(_BOUND)]
    return bounds[0].removeprefix("write ").removeprefix("a number from ") if bounds else ""


def _refusals(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """The field and the sentence of each rule within, but of those that a row tells already."""
    for rule in node.get(_RULES, ()):
        if "message" in rule and not rule["rule"].startswith(_BOUND):
            yield f"{path}{rule.get('fieldPath', '')}", _line(rule["message"])
    for name, child in node.get("properties", {}).items():
        if node.get(_ANY):
            if "_" not in name:  # the same flag in its other spelling
                yield f"{path}.{name}", child["enum"][0].partition("; ")[2]
        else:
            yield from _refusals(child, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(node.get(name), dict):
            yield from _refusals(node[name], f"{path}[]")


def _line(text: str) -> str:
    return " ".join(text.split())
