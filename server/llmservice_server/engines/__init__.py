"""The engines by type: what runs when a configuration names one.

Importing this imports nothing that an engine or the gateway runs on; starting one does.
"""

import importlib
from collections.abc import Callable, Mapping

from llmservice_server.config import EngineType, ServerConfig
from llmservice_server.engines import proxy

__all__ = ["ENGINES"]


def _vllm(config: ServerConfig) -> None:
    importlib.import_module("llmservice_server.engines.vllm").serve(config)


ENGINES: Mapping[EngineType, Callable[[ServerConfig], None]] = {
    "vllm": _vllm,
    "proxy": proxy.serve,
}
