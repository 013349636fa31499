"""One JSON line a request, when its last byte is sent or its client is gone.

Never a body, a query, a header or a key, but the name of whose key it is; the path is the route's
template where one matched, and `other` where none did, for a client may put a key into one.
"""

import logging
import time
from typing import Any

from llmservice_server.gateway.answers.given import answered_by
from llmservice_server.gateway.asgi import Scope, header
from llmservice_server.gateway.caller import caller_of
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.exchange import Exchange
from llmservice_server.gateway.request_id import HEADER
from llmservice_server.gateway.route_table import OTHER, POLLED

_log = logging.getLogger("llmservice.access")


class AccessLog:
    def __init__(self, _context: Context) -> None:
        self._usual = {level: _record(level) for level in (logging.DEBUG, logging.INFO)}

    def begins(self, exchange: Exchange) -> None:
        """Nothing yet."""

    def ends(self, exchange: Exchange) -> None:
        level = logging.DEBUG if exchange.route in POLLED else logging.INFO
        if _log.isEnabledFor(level):
            # Half of what a line costs is for logging to look where in the code it is called.
            record, now = logging.LogRecord.__new__(logging.LogRecord), time.time()
            told = {"created": now, "msecs": now % 1 * 1000, "fields": _fields(exchange)}
            record.__dict__.update(self._usual[level], **told)
            _log.handle(record)


def _record(level: int) -> dict[str, Any]:
    """What is the same of all records of a level."""
    return _log.makeRecord(_log.name, level, __file__, 0, "request", (), None, _log.name).__dict__


def _fields(exchange: Exchange) -> dict[str, object]:
    usage, first = exchange.usage, exchange.first_token_seconds
    caller = caller_of(exchange.scope)
    told = {
        "user": caller and caller.user,
        "key": caller and caller.key,
        "input_tokens": usage and usage.input_tokens,
        "output_tokens": usage and usage.output_tokens,
        "answered_by": answered_by(exchange.scope),
        "first_token_seconds": first and round(first, 4),
        "error": exchange.error,
        "trace_id": exchange.trace_id,
    }
    return {
        "request_id": header(exchange.scope, HEADER),
        "method": exchange.method,
        "route": _route(exchange),
        "status": exchange.status,
        "seconds": round(exchange.seconds, 4),
        "streaming": exchange.streaming,
        "complete": exchange.complete,
        **{name: value for name, value in told.items() if value is not None},
    }


def _route(exchange: Exchange) -> str:
    if exchange.route != OTHER:
        return exchange.route
    scope: Scope = exchange.scope
    template = getattr(scope.get("route"), "path", None)  # left there by the engine's router
    return template if isinstance(template, str) else OTHER
