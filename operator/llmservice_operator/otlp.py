"""Spans on their way to a collector, by OTLP over HTTP. The only module that knows OpenTelemetry;
imported only where a collector is named, for the memory that it takes.

What a span says is here; everything else is the SDK's, as its OTEL_* variables tell it.

Promises: spans leave in batches, from a thread of their own, out of a queue that drops the oldest
where it is full; while they do not arrive there is one warning; stop() ends in FLUSH seconds.
Never: a reconcile that waits for its span or fails by it, the value of a header in the log.
"""

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import aiohttp
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from llmservice_operator.records import FIELD_MANAGER, Key
from llmservice_operator.spans import Span, Spans

FLUSH = 1.0  # seconds
_NAMES = re.compile("/namespaces/[^/]+(/[^/]+)(/[^/]+)?")
_FAILED = trace.Status(trace.StatusCode.ERROR)

log = logging.getLogger(__name__)


class Sent(Spans):
    def __init__(self) -> None:
        # It would log a header that it cannot read, and that may be a token.
        logging.getLogger("opentelemetry.util.re").disabled = True
        resource = Resource.create().merge(Resource({"service.name": FIELD_MANAGER}))
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        self._complaints = _Complaints()
        exporter = _Exporter(self._complaints.over)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._complaints.listen()
        self._tracer = self._provider.get_tracer(__package__ or "")
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._begun)
        config.on_request_end.append(_answered)
        config.on_request_exception.append(_unanswered)
        self.requests = (config,)

    @contextmanager
    def reconcile(self, key: Key, number: str) -> Generator[Span]:
        attributes = {
            "k8s.namespace.name": key.namespace,
            "llmservice.name": key.name,
            "llmservice.reconcile.id": number,
        }
        with self._tracer.start_as_current_span("reconcile", attributes=attributes) as span:
            yield _Reconcile(span)

    async def stop(self) -> None:
        # No thread that may be waited for: the collector may hang.
        flush = threading.Thread(target=self._provider.shutdown, daemon=True)
        flush.start()
        await asyncio.to_thread(flush.join, FLUSH)
        self._complaints.end()

    async def _begun(
        self,
        _: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestStartParams,
    ) -> None:
        context.span = trace.INVALID_SPAN
        if not trace.get_current_span().is_recording():
            return  # the watches, the Lease and the Events are nobody's
        template = _template(params.url.path)
        context.span = self._tracer.start_span(
            f"{params.method} {template}",
            kind=trace.SpanKind.CLIENT,
            attributes={
                "http.request.method": params.method,
                "url.full": str(params.url),
                "url.template": template,
                "server.address": params.url.host or "",
                "server.port": params.url.port or 0,
            },
        )


class _Reconcile(Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        if span.is_recording():
            self.trace_id = trace.format_trace_id(span.get_span_context().trace_id)

    def ends(self, result: str) -> None:
        self._span.set_attribute("llmservice.reconcile.result", result)
        if result == "error":
            self._span.set_status(_FAILED)


async def _answered(
    _: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
) -> None:
    code = params.response.status
    context.span.set_attribute("http.response.status_code", code)
    _end(context.span, str(code) if code >= 400 else "")


async def _unanswered(
    _: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams
) -> None:
    _end(context.span, type(params.exception).__name__)


def _end(span: trace.Span, error: str) -> None:
    if error:
        span.set_attribute("error.type", error)
        span.set_status(_FAILED)
    span.end()


def _template(path: str) -> str:
    """What is left of a path without the names in it."""

    def nameless(found: re.Match[str]) -> str:
        return f"/namespaces/{{namespace}}{found[1]}" + ("/{name}" if found[2] else "")

    return _NAMES.sub(nameless, path)


def _nameless(record: logging.LogRecord) -> str:
    """Its message with no more of an exception than its type: some repeat a header's value."""
    given = record.args if isinstance(record.args, tuple) else (record.args,)
    told = (type(arg).__name__ if isinstance(arg, BaseException) else arg for arg in given)
    return record.msg % tuple(told) if record.args else record.getMessage()


class _Exporter(OTLPSpanExporter):
    def __init__(self, on_success: Callable[[], None]) -> None:
        super().__init__()
        self._on_success = on_success

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            self._on_success()
        return result


class _Complaints(logging.Handler):
    """Of what the SDK has to complain of the first time only, until spans arrive again."""

    _told = False

    def listen(self) -> None:
        logging.getLogger("opentelemetry").propagate = False
        logging.getLogger("opentelemetry").addHandler(self)

    def end(self) -> None:
        logging.getLogger("opentelemetry").removeHandler(self)
        logging.getLogger("opentelemetry").propagate = True

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING and not self._told:
            self._told = True
            log.warning("spans do not arrive: %s", _nameless(record))

    def over(self) -> None:
        if self._told:
            self._told = False
            log.info("spans arrive")
