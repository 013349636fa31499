"""Each request that was let in, told to the journal when it has ended.

Promises that it costs a request some microseconds and nobody's wait, and that whatever becomes of
the journal fails none. Kept is what callers with a key asked for, and what anonymous ones were
answered; where nobody is asked for a key, everything but probes and documents. Who shows no good
key is not here but in the access log: else anybody could fill the database.
"""

import time
from typing import Literal, NamedTuple, Protocol

from prometheus_client import Counter

from llmservice_server.gateway.answers.given import answered_by
from llmservice_server.gateway.asgi import header
from llmservice_server.gateway.bodies import bodies_of
from llmservice_server.gateway.caller import Caller, caller_of
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.exchange import Exchange
from llmservice_server.gateway.identity.access import Access, access
from llmservice_server.gateway.request_id import HEADER

_lost = Counter(
    "llmservice_history_lost_total",
    "Requests that the history lacks, or has without the bodies that a plan asks for, since the "
    "database did not take them in time.",
    ("what",),
)
METRICS = (_lost,)


class Asked(NamedTuple):
    """``at``: when it began, in seconds since the epoch. ``asked`` and ``answered``: the bodies,
    where the plan asks for them.

    ``user`` and ``key`` are empty for who shows no key; ``error`` is one of the exchange's
    categories; ``answered_by`` is None of what the engine answered, else as the cache.
    """

    at: float
    request_id: str
    user: str
    key: str
    model: str
    route: str
    status: int
    error: str | None
    streaming: bool
    answered_by: str | None
    input_tokens: int | None
    output_tokens: int | None
    first_token_seconds: float | None
    seconds: float
    asked: bytes | None = None
    answered: bytes | None = None


class Journal(Protocol):
    def keep(self, asked: Asked) -> Literal["request", "bodies"] | None:
        """Return at once, with what of it is lost for want of room."""
        ...


def history(context: Context) -> "History | None":
    """The observer, where history is kept."""
    journal = context.store and context.store.journal
    return History(journal, identified=context.config.auth.on) if journal else None


class History:
    """identified: whether it is found who asks."""

    def __init__(self, journal: Journal, *, identified: bool) -> None:
        self._journal, self._identified = journal, identified

    def begins(self, exchange: Exchange) -> None:
        """Nothing yet."""

    def ends(self, exchange: Exchange) -> None:
        caller = caller_of(exchange.scope)
        if not self._wants(exchange, caller):
            return
        usage, (asked, answered) = exchange.usage, bodies_of(exchange.scope)
        lost = self._journal.keep(
            Asked(
                at=time.time() - exchange.seconds,
                request_id=header(exchange.scope, HEADER) or "",
                user=(caller and caller.user) or "",
                key=(caller and caller.key) or "",
                model=exchange.model or "",
                route=exchange.route,
                status=exchange.status,
                error=exchange.error,
                streaming=exchange.streaming,
                answered_by=answered_by(exchange.scope),
                input_tokens=usage and usage.input_tokens,
                output_tokens=usage and usage.output_tokens,
                first_token_seconds=exchange.first_token_seconds,
                seconds=exchange.seconds,
                asked=asked,
                answered=answered,
            )
        )
        if lost:
            _lost.labels(lost).inc()

    def _wants(self, exchange: Exchange, caller: Caller | None) -> bool:
        if caller is not None:
            return caller.user is not None or exchange.status < 400
        route = access(exchange.method, exchange.scope["path"])
        return not self._identified and route.access is not Access.PUBLIC
