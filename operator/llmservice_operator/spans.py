"""Spans: how long each reconcile took, and each of its requests, for a collector of OpenTelemetry.

Promises: where the environment names no collector, nothing is kept, and the SDK is not imported;
a wrong value of a variable is one warning.
"""

import logging
import os
from contextlib import AbstractContextManager, nullcontext

import aiohttp

from llmservice_operator.records import Key

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Span:
    """Of one reconcile. This one nobody collects."""

    trace_id = ""
    """By which the collector finds it; empty where it does not get there."""

    def ends(self, result: str) -> None:
        """As in controller_runtime_reconcile_total."""


class Spans:
    """None at all."""

    requests: tuple[aiohttp.TraceConfig, ...] = ()
    """For the session whose requests are to have spans, those within a reconcile."""

    def reconcile(self, key: Key, number: str) -> AbstractContextManager[Span]:
        """Around a reconcile; number: by which the log calls it."""
        del key, number
        return nullcontext(Span())

    async def stop(self) -> None:
        """Send what is left, within a second or so, or never."""


def from_environment() -> Spans:
    """To the collector that the standard variables name, if they name one."""
    off = (
        os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    if off or not any(os.environ.get(name) for name in _ENDPOINTS):
        return Spans()
    try:
        from llmservice_operator.otlp import Sent  # noqa: PLC0415

        return Sent()
    except Exception as fault:  # noqa: BLE001 - of a variable's value; the operator's work is more
        log.warning("no spans are sent: %s", fault)
        return Spans()
