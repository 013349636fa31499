"""docs/metrics.md and docs/operator-metrics.md: what the server and the operator tell Prometheus,
made of their own metrics.
"""

from collections.abc import Iterable
from typing import Any

from llmservice_operator import metrics as of_operator
from llmservice_server.admin.metrics import Months
from llmservice_server.gateway.metrics import METRICS
from prometheus_client.metrics import MetricWrapperBase

_HEAD = """\
<!-- Written by `make generate` from server/llmservice_server/gateway/metrics.py. -->
# Metrics of the server

`GET /metrics`, in Prometheus' text format, beside what vLLM tells of itself there (`vllm:…`).

- `route` and `endpoint` are routes of a fixed list (`/v1/models/{id}`, not the id), and `other` \
for everything else; no label's value comes from a client.
- Requests that the gateway refuses are counted like all others; what ends before it is a request \
is in `llmservice_connections_ended_total`. `status` 499 is a client that \
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
_OPERATOR = """\
<!-- Written by `make generate` from operator/llmservice_operator/metrics.py. -->
# Metrics of the operator

`GET /metrics` on the port of its probes (`httpPort` in the chart's values, 8080), in Prometheus' \
text format, beside what the client library tells of each process (`process_…`, `python_…`). \
Names and labels are those of controller-runtime and client-go, so that dashboards made for other \
controllers show them; what begins with `llmservice_operator_` is its own.

- Each process tells of itself. Of two, one leads: only there `leader_election_master_status` is \
1, are there reconciles, and do the gauges of resources count any, so that sums over both are right.
- `controller` and `name` are always `llmservice`, but for the Lease's `llmservice-operator`.
- `result` is `success`, `error` (tried again after a pause), or `requeue` (it led no more).
- `verb` is Kubernetes' (`list`, `watch`, `get`, `create`, `update`, `patch`, `delete`); of \
children `create`, `apply` or `delete`. `code` is the HTTP status; of requests without an answer \
`<error>`.
- `reason` of a watch that began again is `ended` (by the server, as every few minutes), `failed`, \
or `expired` (410: all is listed anew).

"""


def operator_metrics() -> str:
    """The operator's whole page."""
    counted = [m for m in vars(of_operator).values() if isinstance(m, MetricWrapperBase)]
    rows = [_row(metric, family) for metric in counted for family in metric.describe()]
    gauges = [_row(family, family) for family in of_operator.Conditions(tuple).collect()]
    return _OPERATOR + _table(rows + gauges)


def metrics() -> str:
    """The server's whole page."""
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
