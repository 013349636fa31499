"""What every layer may know: the configuration, the server's life, and the engine behind it.

The engine is seen through two questions, so that no layer knows which engine it stands before.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from llmservice_server.config import ServerConfig
from llmservice_server.gateway.lifecycle import Lifecycle


@dataclass(frozen=True)
class Probe:
    """A POST of JSON on the engine's own routes that only a working engine answers with 200."""

    path: str
    body: dict[str, Any]
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Engine(Protocol):
    """The engine as the gateway sees it."""

    def fault(self) -> str | None:
        """Why the engine can never answer again, in one line; None while it can."""
        ...

    def probe(self) -> Probe | None:
        """The request that proves that it serves; None where the model has no such route."""
        ...


@dataclass(frozen=True)
class Context:
    config: ServerConfig
    engine: Engine
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
