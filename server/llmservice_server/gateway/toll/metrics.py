"""What Prometheus is told of limits: which of them hold requests up, and whether Redis is there.

Promises bounded labels: kinds of limits and plans' names.
"""

from prometheus_client import Counter, Gauge

limited = Counter(
    "llmservice_limited_total",
    "Requests that a limit, a quota or a plan's bound refused, by which and by the caller's plan.",
    ("limit", "plan"),
)
redis_down = Gauge(
    "llmservice_redis_down", "1 while Redis does not serve, so that limits hold per replica or not."
)
unsettled = Counter(
    "llmservice_unsettled_total",
    "Requests whose reservation stays charged in full, since Redis was down for too long.",
)
METRICS = (limited, redis_down, unsettled)
