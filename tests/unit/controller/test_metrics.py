"""What dashboards made for other controllers find here, and what is our own."""

import json
import logging

import pytest
from llmservice_operator import logs, metrics
from llmservice_operator.queue import Queue
from llmservice_operator.records import Key
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

_EXPECTED = {  # name: labels, as controller-runtime and client-go have them
    "controller_runtime_reconcile": {"controller", "result"},
    "controller_runtime_reconcile_errors": {"controller"},
    "controller_runtime_reconcile_time_seconds": {"controller"},
    "controller_runtime_max_concurrent_reconciles": {"controller"},
    "controller_runtime_active_workers": {"controller"},
    "workqueue_depth": {"name"},
    "workqueue_adds": {"name"},
    "workqueue_retries": {"name"},
    "workqueue_queue_duration_seconds": {"name"},
    "workqueue_work_duration_seconds": {"name"},
    "workqueue_unfinished_work_seconds": {"name"},
    "workqueue_longest_running_processor_seconds": {"name"},
    "rest_client_requests": {"code", "method", "host"},
    "leader_election_master_status": {"name"},
}


def test_dashboards_of_other_controllers_find_their_names_and_labels() -> None:
    Queue[str]()
    metrics.reconciles.labels(metrics.CONTROLLER, "success").inc(0)
    metrics.requests.labels("200", "GET", "host:443", "Pod", "list").inc(0)
    found = {
        family.name: set(family.samples[0].labels) - {"le"}
        for family in text_string_to_metric_families(generate_latest().decode())
        if family.samples
    }
    for name, labels in _EXPECTED.items():
        assert labels <= found[name], name


async def test_work_that_does_not_end_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("llmservice_operator.queue.time.monotonic", lambda: now)
    queue = Queue[str]()
    for key in ("a", "b", "c"):
        queue.add(key)
    await queue.get()
    now = 5.0
    await queue.get()
    now = 7.0

    def sample(name: str) -> float | None:
        return REGISTRY.get_sample_value(f"workqueue_{name}", {"name": metrics.CONTROLLER})

    assert sample("longest_running_processor_seconds") == 7.0
    assert sample("unfinished_work_seconds") == 9.0
    assert sample("depth") == 1.0


def test_each_resource_counts_once_for_each_condition() -> None:
    def status(**verdicts: str) -> dict[str, object]:
        told = [{"type": kind, "status": verdict} for kind, verdict in verdicts.items()]
        return {"conditions": told}

    of = [
        status(Ready="True", Progressing="False", Degraded="False", Other="True"),
        status(Ready="False", Progressing="True", Degraded="True"),
        {},
        {"conditions": "garbage"},
    ]
    (family,) = metrics.Conditions(lambda: of).collect()
    counted = {(s.labels["condition"], s.labels["status"]): s.value for s in family.samples}
    assert counted == {
        ("Ready", "True"): 1,
        ("Ready", "False"): 1,
        ("Ready", "Unknown"): 2,
        ("Progressing", "True"): 1,
        ("Progressing", "False"): 1,
        ("Progressing", "Unknown"): 2,
        ("Degraded", "True"): 1,
        ("Degraded", "False"): 1,
        ("Degraded", "Unknown"): 2,
    }


def test_a_line_of_the_log_names_the_resource_and_the_reconcile(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure("info")
    try:
        working = logs.current.set(logs.Reconcile(Key("ns", "x"), "1f2e", "4b0a"))
        logging.getLogger("a").info("one")
        logs.current.reset(working)
        logging.getLogger("a").info("two")
    finally:
        root.handlers[:], root.level = before
    one, two = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (one["namespace"], one["llmservice"], one["reconcile"]) == ("ns", "x", "1f2e")
    assert one["trace_id"] == "4b0a"
    assert not {"reconcile", "trace_id"} & two.keys()
