"""Spans of requests on their way to a collector, by OTLP over HTTP. The only module that knows
OpenTelemetry; imported only where a collector is named.

One span a request, a child of the client's where it sent ``traceparent``; what is behind the
gateway gets the span's own, so that the engine's spans and other servers' are its children. Named
and told as OpenTelemetry's conventions for generative AI and for HTTP have it. Promises that spans
leave in batches from a thread of their own, that while they do not arrive there is one warning,
and that the end of the process waits for them for a second. Never a prompt, a header or a query.
"""

import atexit
import logging
import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from llmservice_server.config import ServerConfig
from llmservice_server.gateway.exchange import Exchange
from llmservice_server.gateway.route_table import POLLED

SERVICE = "llmservice-server"
_FLUSH = 1.0  # seconds
_FIELDS = (b"traceparent", b"tracestate")
_OURS = frozenset({"internal", "unavailable", "timeout", "cut", "stream_error"})
_OPERATIONS: Mapping[str, str] = MappingProxyType(
    {
        "/v1/chat/completions": "chat",
        "/v1/messages": "chat",
        "/v1/responses": "chat",
        "/api/chat": "chat",
        "/v1/completions": "text_completion",
        "/inference": "text_completion",
        "/stream": "text_completion",
        "/predict": "text_completion",
        "/predict/batch": "text_completion",
        "/api/v1/infer": "text_completion",
        "/v1/embeddings": "embeddings",
    }
)

_log = logging.getLogger("llmservice.tracing")
Attributes = dict[str, str | bool | int | float]


class Spans:
    """The observer that sends them."""

    def __init__(self, endpoint: str, config: ServerConfig) -> None:
        # It would log a header that it cannot read, and that may be a token.
        logging.getLogger("opentelemetry.util.re").disabled = True
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        named = {"service.name": SERVICE, "deployment.environment.name": config.environment}
        resource = Resource.create().merge(Resource(named)).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_Exporter(endpoint)))
        self._tracer = self._provider.get_tracer(SERVICE)
        self._context = TraceContextTextMapPropagator()
        self._engine = config.engine.type
        atexit.register(self.stop)

    def begins(self, exchange: Exchange) -> None:
        if exchange.route in POLLED:
            return
        headers = exchange.scope["headers"]
        given = {
            name.decode(): value.decode("latin-1") for name, value in headers if name in _FIELDS
        }
        operation = _OPERATIONS.get(exchange.route)
        span = self._tracer.start_span(
            operation or f"{exchange.method} {exchange.route}",
            context=self._context.extract(given),
            kind=trace.SpanKind.SERVER,
            attributes={
                "http.request.method": exchange.method,
                "http.route": exchange.route,
                "url.scheme": exchange.scope.get("scheme", "http"),
                **(self._of_model(operation) if operation else {}),
            },
        )
        onward: dict[str, str] = {}
        self._context.inject(onward, trace.set_span_in_context(span))
        exchange.scope["headers"] = [
            *(pair for pair in headers if pair[0] not in _FIELDS),
            *((name.encode(), value.encode("latin-1")) for name, value in onward.items()),
        ]
        if span.is_recording():
            exchange.trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        exchange.notes[self] = span

    def ends(self, exchange: Exchange) -> None:
        span: trace.Span | None = exchange.notes.get(self)
        if span is None:
            return
        if span.is_recording():
            if (operation := _OPERATIONS.get(exchange.route)) and exchange.model:
                span.update_name(f"{operation} {exchange.model}")
            span.set_attributes(_outcome(exchange))
            if exchange.error in _OURS:
                span.set_status(trace.Status(trace.StatusCode.ERROR))
        span.end()

    def stop(self) -> None:
        """Send what is left, within a second or so, or never."""
        # No thread that may be waited for: the collector may hang.
        flush = threading.Thread(target=self._provider.shutdown, daemon=True)
        flush.start()
        flush.join(_FLUSH)

    def _of_model(self, operation: str) -> Attributes:
        return {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": self._engine,
        }


def _outcome(exchange: Exchange) -> Attributes:
    told: Attributes = {"http.response.status_code": exchange.status}
    if exchange.error in _OURS:
        told["error.type"] = exchange.error
    if exchange.route in _OPERATIONS:
        told["gen_ai.request.stream"] = exchange.streaming
        if exchange.model:
            told["gen_ai.request.model"] = exchange.model
    if exchange.usage:
        told["gen_ai.usage.input_tokens"] = exchange.usage.input_tokens
        told["gen_ai.usage.output_tokens"] = exchange.usage.output_tokens
    if (first := exchange.first_token_seconds) is not None:
        told["gen_ai.response.time_to_first_chunk"] = first
    return told


class _Exporter(OTLPSpanExporter):
    """Says once that spans do not arrive, and once that they do again."""

    _told = False

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint=endpoint)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._told:
            _log.warning("spans do not arrive; the collector's address may be wrong")
        elif self._told and not failed:
            _log.info("spans arrive")
        self._told = failed
        return result
