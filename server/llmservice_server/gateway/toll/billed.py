"""What callers are billed for, as Prometheus is told of it: the same as the ledger is.

Promises bounded labels: plans' names, and models that are served.
"""

from collections.abc import Iterable
from functools import cache

from prometheus_client import Counter

from llmservice_server.config import Price
from llmservice_server.gateway.usage import Usage

_BILLION = 1e9

_requests = Counter(
    "llmservice_billed_requests_total",
    "Requests as callers are billed for them, by plan and model: without those that failed.",
    ("plan", "model"),
)
_tokens = Counter(
    "llmservice_billed_tokens_total",
    "Tokens as callers are billed for them; direction is input or output.",
    ("plan", "model", "direction"),
)
_cost = Counter(
    "llmservice_billed_cost_total",
    "What these cost, in the currency of the configuration's prices.",
    ("plan", "model"),
)
METRICS = (_requests, _tokens, _cost)


class Billed:
    def __init__(self, prices: Iterable[Price]) -> None:
        self._prices = {price.model: price for price in prices}

    def add(self, plan: str, model: str, requests: int, usage: Usage) -> None:
        one = _series(plan, model)
        one.requests.inc(requests)
        one.input.inc(usage.input_tokens)
        one.output.inc(usage.output_tokens)
        if price := self._prices.get(model):
            one.cost.inc(price.of(*usage) / _BILLION)


class _Series:
    """The time series of a plan and a model, looked up once."""

    def __init__(self, plan: str, model: str) -> None:
        self.requests, self.cost = _requests.labels(plan, model), _cost.labels(plan, model)
        self.input, self.output = (
            _tokens.labels(plan, model, direction) for direction in ("input", "output")
        )


@cache  # bounded as the labels are
def _series(plan: str, model: str) -> _Series:
    return _Series(plan, model)
