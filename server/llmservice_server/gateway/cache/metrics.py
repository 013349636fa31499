"""What Prometheus is told of the cache."""

from prometheus_client import Counter, Gauge

asked = Counter(
    "llmservice_cache_requests_total",
    "Requests to routes of the cache: hit, collapsed (the answer to another one that ran), miss, "
    "refresh (no-cache) or bypass (not to be kept).",
    ("result",),
)
entries = Gauge("llmservice_cache_entries", "Answers in this replica's memory.")
size = Gauge("llmservice_cache_bytes", "Their size.")
lost = Counter(
    "llmservice_cache_lost_total",
    "Answers that were not kept, since Redis did not serve or too many were on their way to it.",
)
hit, collapsed, miss, refresh, bypass = map(
    asked.labels, ("hit", "collapsed", "miss", "refresh", "bypass")
)
METRICS = (asked, entries, size, lost)
