"""What the operator counts, under the names that controller-runtime and client-go use, so that
existing dashboards work. Read on /metrics; see endpoints.py.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from llmservice_operator.api.conditions import ConditionType
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.status.patch import conditions_of

CONTROLLER = "llmservice"
_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

reconciles = Counter(
    "controller_runtime_reconcile", "Reconciles by result.", ("controller", "result")
)
reconcile_errors = Counter(
    "controller_runtime_reconcile_errors", "Reconciles that failed.", ("controller",)
).labels(CONTROLLER)
reconcile_seconds = Histogram(
    "controller_runtime_reconcile_time_seconds",
    "Seconds that a reconcile took.",
    ("controller",),
    buckets=_BUCKETS,
).labels(CONTROLLER)
workers_busy = Gauge(
    "controller_runtime_active_workers", "Workers that hold a resource.", ("controller",)
).labels(CONTROLLER)
workers = Gauge(
    "controller_runtime_max_concurrent_reconciles",
    "Workers, busy or not.",
    ("controller",),
).labels(CONTROLLER)

queue_depth = Gauge("workqueue_depth", "Keys that wait for a worker.", ("name",)).labels(CONTROLLER)
queue_adds = Counter("workqueue_adds", "Keys added.", ("name",)).labels(CONTROLLER)
queue_retries = Counter("workqueue_retries", "Keys put on back-off.", ("name",)).labels(CONTROLLER)
queue_seconds = Histogram(
    "workqueue_queue_duration_seconds",
    "Seconds that a key waited for a worker.",
    ("name",),
    buckets=_BUCKETS,
).labels(CONTROLLER)
queue_work_seconds = Histogram(
    "workqueue_work_duration_seconds",
    "Seconds that a worker held a key.",
    ("name",),
    buckets=_BUCKETS,
).labels(CONTROLLER)
queue_unfinished = Gauge(
    "workqueue_unfinished_work_seconds",
    "Seconds that all keys now with workers have been there, together.",
    ("name",),
).labels(CONTROLLER)
queue_longest = Gauge(
    "workqueue_longest_running_processor_seconds",
    "Seconds that the key longest with a worker has been there.",
    ("name",),
).labels(CONTROLLER)

requests = Counter(
    "rest_client_requests",
    "Requests to the API server, kopf's too; no kind: what kinds there are.",
    ("code", "method", "host", "kind", "verb"),
)
applies = Counter(
    "llmservice_operator_child_writes", "Writes of children that took place.", ("kind", "verb")
)
refusals = Counter(
    "llmservice_operator_child_write_failures",
    "Writes of children that did not take place, by the HTTP code; 0: no answer.",
    ("kind", "code"),
)
watch_restarts = Counter(
    "llmservice_operator_watch_restarts", "Watches that ended and began again.", ("kind", "reason")
)
leader = Gauge("leader_election_master_status", "1 while this process leads.", ("name",)).labels(
    "llmservice-operator"
)

_ALWAYS_THERE = (ConditionType.READY, ConditionType.PROGRESSING, ConditionType.DEGRADED)


class Conditions(Collector):
    """How many LLMServices are Ready, Progressing, Degraded, and how many are not: counted when
    Prometheus asks, by the process that leads and no other, so that a sum over processes is right.
    """

    def __init__(self, statuses: Callable[[], Iterable[Manifest]]) -> None:
        """statuses: of all LLMServices; none where another process leads."""
        self._statuses = statuses

    def collect(self) -> Iterator[GaugeMetricFamily]:
        tally = Tally[tuple[str, str]]()
        for status in self._statuses():
            told = conditions_of(status)
            for kind in _ALWAYS_THERE:
                tally[kind, str(told.get(kind, {}).get("status", "Unknown"))] += 1
        family = GaugeMetricFamily(
            "llmservice_operator_resources",
            "LLMServices by condition and its status; Unknown where nothing is told yet.",
            labels=("condition", "status"),
        )
        for kind in _ALWAYS_THERE:
            for verdict in ("True", "False", "Unknown"):
                family.add_metric((kind, verdict), tally[kind, verdict])
        yield family
