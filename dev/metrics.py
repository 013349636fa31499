"""docs/metrics.md: what the server tells Prometheus, made of its own metrics."""

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

| metric | type | labels | what it is |
|---|---|---|---|
"""


def metrics() -> str:
    """The whole page."""
    rows: list[str] = []
    for metric in METRICS:
        for family in metric.describe():
            name = family.name + ("_total" if family.type == "counter" else "")
            names = getattr(metric, "_labelnames", None) or getattr(family, "_labelnames", ())
            labels = ", ".join(f"`{label}`" for label in names)
            rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return _HEAD + "\n".join(rows) + "\n"
