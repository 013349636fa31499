"""docs/metrics.md: what the server tells Prometheus, made of its own metrics."""

from collections.abc import Iterable
from typing import Any

from llmservice_server.admin.metrics import Months
from llmservice_server.gateway.metrics import METRICS

_HEAD = """\
<!-- Written by `make generate` from server/llmservice_server/gateway/metrics.py. -->
# Metrics of the server

`GET /metrics`, in Prometheus' text format, beside what vLLM tells of itself there (`vllm:…`).

- `route` and `endpoint` are routes of a fixed list (`/v1/models/{id}`, not the id), and `other` \
for everything else; no label's value comes from a client.
- Requests that the gateway refuses are counted like all others. `status` 499 is a client that \
left before it had an answer.
- Tokens are the engine's own count. A stream through a proxy to another server has one only where \
that server tells it, which most do when the client asks for `stream_options.include_usage`.
- Queue and cache of the engine itself: `vllm:num_requests_waiting`, `vllm:kv_cache_usage_perc`.

"""
_TABLE = "| metric | type | labels | what it is |\n|---|---|---|---|\n"
_BILLS = """
## To bill from

`llmservice_billed_…` above has no users, of whom there may be any number. `GET /admin/v1/metrics` \
has them, for a scrape with the key of an administrator, where a [database](admin.md) counts what \
is used: of this month and the one before, in UTC, from the database itself, so that it is the \
same on each replica and after a restart. `user` is empty for who shows no key, and `other` for \
all but the thousand who used most.

```yaml
scrape_configs:
  - job_name: llmservice-usage
    metrics_path: /admin/v1/metrics
    scrape_interval: 5m
    authorization: {credentials_file: /etc/prometheus/llmservice-admin-key}
    static_configs: [{targets: ["qwen.demo.svc"]}]   # the Service: one replica tells of all
```

A bill: `max by (user) (sum by (user, instance) (last_over_time(llmservice_month_cost_total\
{month="2026-11"}[1h])))`.

"""


def metrics() -> str:
    """The whole page."""
    rows = [_row(metric, family) for metric in METRICS for family in metric.describe()]
    months = [_row(family, family) for family in Months({}).collect()]
    return _HEAD + _table(rows) + _BILLS + _table(months)


def _table(rows: Iterable[str]) -> str:
    return _TABLE + "".join(f"{row}\n" for row in rows)


def _row(metric: Any, family: Any) -> str:
    name = family.name + ("_total" if family.type == "counter" else "")
    names = getattr(metric, "_labelnames", None) or getattr(family, "_labelnames", ())
    labels = ", ".join(f"`{label}`" for label in names)
    return f"| `{name}` | {family.type} | {labels} | {family.documentation} |"
