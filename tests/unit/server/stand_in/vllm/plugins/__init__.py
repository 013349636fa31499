"""Stands in for vllm.plugins."""

import os
from importlib.metadata import entry_points
from typing import Any


def _named(group: str) -> list[Any]:
    allowed = os.environ["VLLM_PLUGINS"].split(",")
    return [plugin.load() for plugin in entry_points(group=group) if plugin.name in allowed]


def load_general_plugins() -> None:
    for plugin in _named("vllm.general_plugins"):
        plugin()


def load_endpoint_plugins() -> list[Any]:
    return [plugin() for plugin in _named("vllm.endpoint_plugins")]
