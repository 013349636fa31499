"""Who asks, as far as the gateway could tell: what identity finds, and all layers below read."""

from dataclasses import dataclass, field
from typing import cast

from llmservice_server.config.plan import Plan
from llmservice_server.gateway.asgi import Scope

_PLACE = "caller"  # in the scope's state


@dataclass(frozen=True, slots=True)
class Scopes:
    """What a key is made for; None is everything that its plan allows."""

    routes: frozenset[str] | None = None
    models: frozenset[str] | None = None  # adapters are models by another name


@dataclass(frozen=True, slots=True)
class Caller:
    """``key`` and ``user`` are names or ids and never a secret; None of one who showed no key.

    address: the client's, behind proxies that are trusted to tell it.
    """

    address: str
    plan: Plan
    key: str | None = None
    user: str | None = None
    admin: bool = False
    scopes: Scopes = field(default_factory=Scopes)

    @property
    def tenant(self) -> str:
        """Whose answers, conversations and turns these are: never another's."""
        return f"user:{self.user}" if self.user else f"address:{self.address}"


def caller_of(scope: Scope) -> Caller | None:
    """Who asks; None where identity is off, or for a route that is public."""
    return cast("Caller | None", scope.get("state", {}).get(_PLACE))


def tenant_of(scope: Scope) -> str:
    """Where nobody asks who calls, an address is a tenant."""
    if caller := caller_of(scope):
        return caller.tenant
    client = scope.get("client")
    return f"address:{client[0] if client else ''}"


def note(scope: Scope, caller: Caller) -> None:
    scope.setdefault("state", {})[_PLACE] = caller
