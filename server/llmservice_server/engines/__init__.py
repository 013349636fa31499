"""The engines by type: what runs when a configuration names one.

Importing this imports no engine's own packages; starting one does.
"""

from collections.abc import Callable, Mapping

from llmservice_server.config import EngineType, ServerConfig
from llmservice_server.engines import proxy, vllm

__all__ = ["ENGINES"]

ENGINES: Mapping[EngineType, Callable[[ServerConfig], None]] = {
    "vllm": vllm.serve,
    "proxy": proxy.serve,
}
