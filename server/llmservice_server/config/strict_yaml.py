"""YAML, safe and strict: what a text says twice, or says wrongly, is a fault of the text.

Promises one kind of error for every text whatsoever; knows no fields.
"""

from typing import Any

import yaml

_TWICE = "the key {!r} is given twice; write it once"
_SHOWN = 60  # characters of a wrong value that an error repeats
_DEEP = "nested too deeply; write fewer brackets"


def load(text: str) -> object:
    """The one document of a text.

    Raises:
        yaml.YAMLError: what is wrong, and where it is known, the line and column.
    """
    try:
        # Safe: the loader is the safe one, made stricter.
        return yaml.load(text, _Loader)  # noqa: S506
    except RecursionError:
        raise yaml.YAMLError(_DEEP) from None


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Refuse a key that stands twice, of which PyYAML silently takes the last."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = _TWICE.format(key.value)
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: Any = False) -> object:  # noqa: FBT002
        """Give a value that is not what it seems to be a place; PyYAML raises whatever it meets."""
        try:
            return super().construct_object(node, deep)  # pyright: ignore[reportUnknownMemberType]
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception as error:
            problem = f"{str(node.value)[:_SHOWN]!r} is no {node.tag.rpartition(':')[2]}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from error
