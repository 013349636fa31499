"""Pydantic's JSON schema as the structural schema that the API server wants.

Structural schemas know no references, no null and no titles. An object whose fields have defaults
gets the default {}, so that the API server writes them out; one without keeps quiet.
Source of the rules: kubernetes.io, "Specifying a structural schema".
"""

from typing import Any, cast

from pydantic import BaseModel

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.part import rule

_DROPPED = frozenset({"title", "$defs", "default", "additionalProperties", "propertyNames"})


def structural_schema(model: type[BaseModel]) -> Manifest:
    """The schema of a model, everything inlined."""
    schema = model.model_json_schema(by_alias=True)
    return _node(schema, schema.get("$defs", {}))


def _node(node: Manifest, definitions: Manifest) -> Manifest:
    node = _resolved(node, definitions)
    made = {key: value for key, value in node.items() if key not in _DROPPED}
    if "description" in made:
        made["description"] = _paragraphs(made["description"])
    if "properties" in made:
        made["properties"] = {
            name: _node(child, definitions) for name, child in made["properties"].items()
        }
    if "items" in made:
        made["items"] = _node(made["items"], definitions)
    values: object = node.get("additionalProperties")
    if isinstance(values, dict):
        made["additionalProperties"] = _node(cast("Manifest", values), definitions)
    if made.get("const") is not None:
        made["enum"] = [made.pop("const")]
    _tell_bounds(made)
    _ask_for_missing(made)
    default: object = node.get("default")
    if isinstance(default, dict):
        default = {} if _has_defaults(made) else None
    if default not in (None, []):
        made["default"] = default
    if isinstance(default, str | int):
        # kubectl explain shows no defaults, so the words do.
        made["description"] = f"{made.get('description', '')} Default: {default}.".strip()
    return made


def _resolved(node: Manifest, definitions: Manifest) -> Manifest:
    """The node with its reference and its `or null` merged in; its own keys win."""
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return _resolved(target | {k: v for k, v in node.items() if k != "$ref"}, definitions)
    choices: list[Any] = [c for c in node.get("anyOf", []) if c != {"type": "null"}]
    if len(choices) == 1:
        rest = {k: v for k, v in node.items() if k not in {"anyOf", "default"}}
        return _resolved(choices[0] | rest, definitions)
    return node


def _tell_bounds(node: Manifest) -> None:
    """A number's bounds become a rule that says what to write, as the schema's own words do not."""
    least, most = node.pop("minimum", None), node.pop("maximum", None)
    if least is not None:
        upper = "" if most is None else f" && self <= {most}"
        told = f"{least} or more" if most is None else f"a number from {least} to {most}"
        node["x-kubernetes-validations"] = [rule(f"self >= {least}{upper}", f"write {told}")]


def _ask_for_missing(node: Manifest) -> None:
    """Required fields that have a sentence become rules that say it (see part.required)."""
    for name, child in node.get("properties", {}).items():
        if sentence := child.pop("x-missing", None):
            node["required"].remove(name)
            node.setdefault("x-kubernetes-validations", []).insert(
                0, rule(f"has(self.{name})", sentence)
            )
    if node.get("required") == []:
        del node["required"]


def _has_defaults(node: Manifest) -> bool:
    return any("default" in child for child in node.get("properties", {}).values())


def _paragraphs(text: str) -> str:
    """Lines joined, for kubectl breaks them by itself; an empty line stays one."""
    return "\n".join(" ".join(part.split()) for part in text.split("\n\n"))
