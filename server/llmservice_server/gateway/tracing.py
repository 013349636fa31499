"""Spans of requests: whether there are any. What they say is in otlp.py.

Promises: where the configuration names no collector there is no observer and the SDK is not even
imported; one that cannot be set up is a warning, and the server serves.
"""

import logging
import os

from llmservice_server.gateway.context import Context
from llmservice_server.gateway.exchange import Observer

_log = logging.getLogger("llmservice.tracing")


def tracing(context: Context) -> Observer | None:
    """The observer that sends spans, if they are wanted."""
    endpoint = context.config.tracing.endpoint
    off = (
        os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    if endpoint is None or off:
        return None
    try:
        from llmservice_server.gateway.otlp import Spans  # noqa: PLC0415

        return Spans(endpoint, context.config)
    except Exception as fault:  # noqa: BLE001  a missing package, or a variable's wrong value
        _log.warning("no spans are sent: %s", type(fault).__name__)
        return None
