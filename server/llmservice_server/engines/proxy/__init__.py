"""The engine ``proxy``: any OpenAI-compatible servers behind the gateway, by the models' names.

Importing this imports none of what it runs on; serving does.
"""

import gc
import importlib

from llmservice_server.config import ServerConfig


def serve(config: ServerConfig) -> None:
    """Serve until drained.

    Raises:
        EngineError: it did not start, or ended without being told to.
    """
    # What is imported stays: looking through it for garbage would be a tenth of the start.
    gc.disable()
    importlib.import_module("llmservice_server.engines.proxy.server").serve(config)
