"""The spans of an operator whose environment names a collector, and the silence of another."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import services, writes
from tests.cluster.kube import Kube
from tests.cluster.operator_process import Operator
from tests.collector import Collector, collecting


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def told(operator: Operator, collector: Collector, tmp_path: Path) -> Iterator[Operator]:
    """Another operator, standing by, that knows of the collector."""
    other = Operator(
        operator.kubeconfig,
        operator.lease_namespace,
        tmp_path / "told",
        name="told-0",
        environment={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url},
    )
    other.start(leads=False)
    yield other
    if other.runs():
        other.stop()


def _knows_otlp(operator: Operator) -> bool:
    assert operator.process
    return "google/_upb" in Path(f"/proc/{operator.process.pid}/maps").read_text()


def test_reconciles_arrive_with_each_of_their_requests_and_the_log_names_their_traces(
    operator: Operator, told: Operator, collector: Collector, kube: Kube
) -> None:
    kube.create(services.minimal("before"))
    services.wait_ready(kube, "before")
    assert (_knows_otlp(operator), _knows_otlp(told)) == (False, True)
    operator.stop()
    told.wait(told.leads, "leading")
    assert collector.spans == [], "the other one tells nobody"

    kube.create(services.minimal("seen"))
    services.wait_ready(kube, "seen")
    counted = writes.until_quiet(told)
    told.stop()  # and what is left in its queue is sent

    reconciles = {s.id: s for s in collector.spans if s.name == "reconcile"}
    requests = [s for s in collector.spans if s.name != "reconcile"]
    assert all(reconciles[s.parent].trace == s.trace for s in requests)
    assert {s.attributes["http.request.method"] for s in requests} == {"PATCH"}
    assert len(requests) == sum(n for of, n in counted.items() if not of.endswith(" Event"))

    seen = [json.loads(line) for line in told.log.read_text().splitlines()]
    created = [line for line in seen if line["message"].startswith("created ")]
    assert len(created) == 5
    of = {s.attributes["llmservice.reconcile.id"]: s for s in reconciles.values()}
    for line in created:
        span = of[line["reconcile"]]
        assert line["trace_id"] == span.trace
        assert span.attributes["k8s.namespace.name"] == kube.namespace
        assert span.attributes["llmservice.name"] == "seen"
