"""What every layer may know: the configuration, the server's life and start, and the engine.

The engine is seen through a few questions, so that no layer knows which engine it stands before.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from llmservice_server.config import ServerConfig
from llmservice_server.gateway.identity.stored import KeyStore
from llmservice_server.gateway.in_process import InProcess
from llmservice_server.gateway.lifecycle import Lifecycle
from llmservice_server.gateway.toll.ledger import Ledger
from llmservice_server.gateway.turns import Turns
from llmservice_server.loading import Startup
from llmservice_server.store import store_of

if TYPE_CHECKING:
    from llmservice_server.store.store import Store

# Where neither the configuration nor the engine names a number: far more than a model of any size
# computes at once, and few enough for the memory of one process.
_PLACES = 4096


@dataclass(frozen=True)
class Probe:
    """A request on the engine's own routes that only a working engine answers with 200."""

    path: str
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    headers: tuple[tuple[bytes, bytes], ...] = ()
    method: str = "POST"


class Engine(Protocol):
    """The engine as the gateway sees it."""

    def fault(self) -> str | None:
        """Why the engine can never answer again, in one line; None while it can."""
        ...

    def probe(self) -> Probe | None:
        """The request that proves that it serves; None where the model has no such route."""
        ...

    def gpu(self) -> bool | None:
        """Whether it computes on a GPU of ours; None while that is not known."""
        ...

    def routed(self, named: str) -> str | None:
        """Where a request goes that names this model, or "" for none: a name that is served, or
        None.
        """
        ...


@dataclass(frozen=True)
class Context:
    config: ServerConfig
    engine: Engine
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    startup: Startup = field(default_factory=Startup)
    below: InProcess = field(default_factory=InProcess)
    turns: Turns = field(default_factory=lambda: Turns(_PLACES))
    keys: KeyStore | None = None
    ledger: Ledger | None = None
    """Where what callers use is kept; None where there is no database."""
    store: "Store | None" = None

    @classmethod
    def of(cls, config: ServerConfig, engine: Engine, startup: Startup | None = None) -> Self:
        """With what is kept in the configuration's database, if it names one.

        Raises:
            ConfigError: the database's address is not where the configuration says.
        """
        store = store_of(config)
        return cls(
            config,
            engine,
            startup=startup or Startup(),
            keys=store.callers if store else None,
            ledger=store.books if store else None,
            store=store,
        )

    @property
    def status(self) -> str:
        """In one word: the phase, or that the engine is dead."""
        return "dead" if self.engine.fault() else self.lifecycle.phase.value

    def __post_init__(self) -> None:
        if self.config.limits.running:
            self.turns.places = self.config.limits.running

    def engine_computes(self, requests: int) -> None:
        """The engine says how many requests it computes at once.

        Where the configuration names no bound, as many again are let through: the engine's own
        queue must never be empty while anybody waits, and its scheduler and its metrics see them.
        """
        if self.config.limits.running is None:
            self.turns.places = 2 * requests
