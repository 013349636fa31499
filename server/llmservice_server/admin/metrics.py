"""What Prometheus is told with an administrator's key: what each user used, to bill from.

By calendar month in UTC, of this one and of the one before, so that nobody misses how a month
ended. Users are bounded: those beyond it, who used least, are told of together.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from llmservice_server.store.usage import Usage, Used

CONTENT_TYPE = CONTENT_TYPE_LATEST
_USERS = 1000  # of a month
_LABELS = ("month", "user", "model")
_TOLD: Mapping[str, str] = {
    "requests": "Requests of a user in a calendar month.",
    "input_tokens": "Tokens of their prompts.",
    "output_tokens": "Tokens of their answers.",
    "cost": "What they cost, in the currency of the configuration's prices.",
}


class Months(Collector):
    """By its first day, what was used in a month."""

    def __init__(self, used: Mapping[date, Sequence[Used]]) -> None:
        self._used = used

    def collect(self) -> Iterator[CounterMetricFamily]:
        for field, text in _TOLD.items():
            family = CounterMetricFamily(f"llmservice_month_{field}", text, labels=_LABELS)
            for first, rows in self._used.items():
                for row in rows:
                    labels = (first.strftime("%Y-%m"), row.user or "", row.model or "")
                    family.add_metric(labels, getattr(row, field))
            yield family


async def metrics(usage: Usage) -> bytes:
    """In Prometheus' text format.

    Raises:
        StoreError: nobody can tell now.
    """
    today = datetime.now(UTC).date()
    this = today.replace(day=1)
    last = this - timedelta(days=1)
    months = ((last.replace(day=1), last), (this, today))
    used = {first: await usage.by_user(first, end, _USERS) for first, end in months}
    return generate_latest(Months(used))
