"""The gateway: the layers between a client and the engine, in one process with it.

``LAYERS`` is the order, outermost first; each layer is a pure ASGI class in a file of its own that
is made with the application below it and the context. A layer that costs per chunk says why.
"""

from collections.abc import Callable
from functools import partial

from llmservice_server.gateway.access_log import AccessLog
from llmservice_server.gateway.admission import Admission
from llmservice_server.gateway.asgi import App, Receive, Scope, Send
from llmservice_server.gateway.bodies import bodies
from llmservice_server.gateway.cache.layer import cache
from llmservice_server.gateway.closing import Closing
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.drain import Drain
from llmservice_server.gateway.exchange import Exchanges
from llmservice_server.gateway.health import Health
from llmservice_server.gateway.history import history
from llmservice_server.gateway.hosts import Hosts
from llmservice_server.gateway.idempotency.layer import idempotency
from llmservice_server.gateway.identity.layer import identity
from llmservice_server.gateway.identity.models import Models
from llmservice_server.gateway.kept import kept
from llmservice_server.gateway.metrics import Metrics
from llmservice_server.gateway.predict_errors import PredictErrors
from llmservice_server.gateway.request_id import RequestId
from llmservice_server.gateway.sanitize import Sanitize
from llmservice_server.gateway.toll.layer import toll
from llmservice_server.gateway.tracing import tracing
from llmservice_server.gateway.warm_up import WarmUp

__all__ = ["LAYERS", "Gateway"]

LAYERS: tuple[Callable[[App, Context], App], ...] = (
    kept,
    RequestId,
    Closing,
    partial(Exchanges, observers=(tracing, Metrics, AccessLog, history)),
    Health,
    PredictErrors,
    Hosts,
    Drain,
    # After the drain, so that what is held back counts as in flight, and before a body is read.
    identity,
    Sanitize,
    Models,
    bodies,
    # What is given again was charged when it ran.
    idempotency,
    # What is found is charged as a request, and takes no turn.
    toll,
    cache,
    Admission,
    # The warm-up's own completion passes no layer.
    WarmUp,
)


class Gateway:
    """An ASGI application: the engine's own with all layers around it."""

    def __init__(self, app: App, context: Context) -> None:
        self._below = context.below
        self._below.is_of(app)
        for layer in reversed(LAYERS):
            app = layer(app, context)
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._below.lives_in(scope)
        await self._app(scope, receive, send)
