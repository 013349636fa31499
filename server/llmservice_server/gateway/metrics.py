"""What Prometheus is told of the requests, of the rejected ones too.

In the registry of the process, so that /metrics of the engine has it. Promises that no label's
value comes from a client: routes, methods and kinds of errors are from fixed sets. A request costs
some ten microseconds and a chunk nothing. ``METRICS`` is all of them.
"""

import time
from collections import Counter as Tally
from collections.abc import Iterator
from functools import cache as cached

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from llmservice_server import gpu_memory
from llmservice_server.gateway.cache import metrics as cache
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.exchange import Exchange
from llmservice_server.gateway.history import METRICS as HISTORY
from llmservice_server.gateway.lifecycle import Lifecycle, Phase
from llmservice_server.gateway.toll import metrics as toll
from llmservice_server.gateway.toll.billed import METRICS as BILLED

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5)
_WINDOW = 60  # seconds over which tokens_per_second is a mean

_requests = Counter(
    "llmservice_requests_total",
    "Requests, by route, method, status and whether the answer was a stream; the rejected too.",
    ("route", "method", "status", "streaming"),
)
_duration = Histogram(
    "llmservice_request_duration_seconds",
    "From a request's head to the last byte of its answer.",
    ("route", "streaming"),
    buckets=_SECONDS,
)
_first_token = Histogram(
    "llmservice_time_to_first_token_seconds",
    "From a request's head to the first event of its stream.",
    ("route",),
    buckets=_SECONDS,
)
_between_tokens = Histogram(
    "llmservice_time_between_tokens_seconds",
    "Between two tokens of a stream, its mean: one observation a stream.",
    ("route",),
    buckets=_TOKEN_SECONDS,
)
_input_tokens = Counter(
    "llmservice_input_tokens_total", "Tokens of prompts, as the engine counts them.", ("route",)
)
_output_tokens = Counter(
    "llmservice_output_tokens_total", "Tokens of answers, as the engine counts them.", ("route",)
)
_errors = Counter(
    "llmservice_errors_total",
    "Requests that went wrong, by what went wrong; rate_limited is every 429.",
    ("route", "type"),
)
connections_ended = Counter(
    "llmservice_connections_ended_total",
    "Connections that were ended, by why: malformed, too_late (a part of a request did not come),"
    " too_large (a head), too_many (made room for another), stalled (took nothing of an answer).",
    ("reason",),
)
_in_flight = Gauge(
    "llmservice_requests_in_flight", "Requests that are not yet answered to the last byte."
)
_waiting = Gauge("llmservice_requests_waiting", "Those in flight that wait for their turn.")
_clients = Gauge(
    "llmservice_active_clients", "Addresses from which at least one request is being answered."
)
_api_requests = Counter("api_requests_total", "Requests.", ("method", "endpoint", "status"))
_api_duration = Histogram(
    "api_request_duration_seconds", "Time a request took.", ("endpoint",), buckets=_SECONDS
)
_speed = Gauge(
    "tokens_per_second", f"Tokens of answers that ended in the last {_WINDOW} s, for each second."
)
_loaded = Gauge("model_loaded", "1 while the model answers, else 0.", ("model",))


class _GpuMemory(Collector):
    def describe(self) -> Iterator[GaugeMetricFamily]:
        text = "Memory in use of each GPU that the server sees, by whomever."
        yield GaugeMetricFamily("gpu_memory_usage_bytes", text, labels=("gpu",))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        (family,) = self.describe()
        for number, used in enumerate(gpu_memory.used()):
            family.add_metric((str(number),), used)
        yield family


_gpu_memory = _GpuMemory()
REGISTRY.register(_gpu_memory)
METRICS: tuple[MetricWrapperBase | _GpuMemory, ...] = (
    *(_requests, _duration, _first_token, _between_tokens, _input_tokens, _output_tokens, _errors),
    *(connections_ended, _in_flight, _waiting, _clients),
    *(_api_requests, _api_duration, _gpu_memory, _speed, _loaded),
    *toll.METRICS,
    *BILLED,
    *HISTORY,
    *cache.METRICS,
)


class Metrics:
    """The observer that counts."""

    def __init__(self, context: Context) -> None:
        self._addresses: Tally[str] = Tally()
        self._tokens = _Rate(_WINDOW)
        lifecycle = context.lifecycle
        _in_flight.set_function(lambda: lifecycle.in_flight)
        _waiting.set_function(lambda: context.turns.waiting)
        _clients.set_function(lambda: len(self._addresses))
        _speed.set_function(self._tokens.mean)
        model = _loaded.labels(context.config.served_name or "")
        model.set_function(lambda: _answers(context, lifecycle))

    def begins(self, exchange: Exchange) -> None:
        self._addresses[_address(exchange)] += 1

    def ends(self, exchange: Exchange) -> None:
        self._leaves(_address(exchange))
        route = exchange.route
        method = exchange.method if exchange.method in _METHODS else "other"
        status = exchange.status if 100 <= exchange.status < 600 else 500
        one = _series(route, method, status, exchange.streaming)
        one.requests.inc()
        one.api_requests.inc()
        one.duration.observe(exchange.seconds)
        one.api_duration.observe(exchange.seconds)
        if error := exchange.error:
            _error(route, error).inc()
        if (first := exchange.first_token_seconds) is not None:
            one.first_token.observe(first)
        if (between := exchange.seconds_a_token) is not None:
            one.between_tokens.observe(between)
        if usage := exchange.usage:
            one.input_tokens.inc(usage.input_tokens)
            one.output_tokens.inc(usage.output_tokens)
            self._tokens.add(usage.output_tokens)

    def _leaves(self, address: str) -> None:
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]


class _Series:
    """The time series of one combination of labels, looked up once."""

    def __init__(self, route: str, method: str, status: int, *, streaming: bool) -> None:
        kind = "true" if streaming else "false"
        self.requests = _requests.labels(route, method, str(status), kind)
        self.duration = _duration.labels(route, kind)
        self.first_token = _first_token.labels(route) if streaming else _first_token
        self.between_tokens = _between_tokens.labels(route) if streaming else _between_tokens
        self.api_requests = _api_requests.labels(method, route, str(status))
        self.api_duration = _api_duration.labels(route)
        self.input_tokens = _input_tokens.labels(route)
        self.output_tokens = _output_tokens.labels(route)


@cached  # bounded as the labels are
def _series(route: str, method: str, status: int, streaming: bool) -> _Series:  # noqa: FBT001
    return _Series(route, method, status, streaming=streaming)


@cached
def _error(route: str, kind: str) -> Counter:
    return _errors.labels(route, kind)


class _Rate:
    """A mean over the last seconds, in one number for each of them."""

    def __init__(self, seconds: int) -> None:
        self._counts = [0] * seconds
        self._now = int(time.monotonic())

    def add(self, count: int) -> None:
        self._forget()
        self._counts[self._now % len(self._counts)] += count

    def mean(self) -> float:
        self._forget()
        return sum(self._counts) / len(self._counts)

    def _forget(self) -> None:
        if (now := int(time.monotonic())) == self._now:
            return
        for second in range(max(self._now, now - len(self._counts)) + 1, now + 1):
            self._counts[second % len(self._counts)] = 0
        self._now = now


def _address(exchange: Exchange) -> str:
    client = exchange.scope.get("client")
    return client[0] if client else ""


def _answers(context: Context, lifecycle: Lifecycle) -> bool:
    return lifecycle.phase is not Phase.STARTING and context.engine.fault() is None
