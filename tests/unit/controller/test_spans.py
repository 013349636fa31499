"""What a collector of OpenTelemetry is told, and that nobody waits for it."""

import asyncio
import logging
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from llmservice_operator import otlp, spans
from llmservice_operator.client import ApiError, Client, Selection
from llmservice_operator.connection import Connection
from llmservice_operator.kinds import LEASE, POD, SECRET
from llmservice_operator.records import Key
from llmservice_operator.spans import Spans

from tests.collector import Collector, collecting
from tests.unit.controller.loopback import serving

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_KEY = Key("ns", "x")


@pytest.fixture(autouse=True)
def _sdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process of the operator's own: the server silences the exporter, and what the SDK
    said last it does not say again for a while.
    """
    exporter, processor = map(
        logging.getLogger, ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal")
    )
    monkeypatch.setattr(processor, "filters", [type(each)() for each in processor.filters])
    level = exporter.level
    exporter.setLevel(logging.NOTSET)
    yield
    exporter.setLevel(level)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as found:
        monkeypatch.setenv(_ENDPOINT, found.url)
        yield found


@asynccontextmanager
async def _client(told: Spans) -> AsyncIterator[Client]:
    """Of a server that has everything but Secrets."""

    async def answer(request: web.Request) -> web.Response:
        found = "secrets" not in request.path
        return web.json_response({}, status=200 if found else 404)

    async with serving(answer) as address:
        connection = Connection(address, ssl.create_default_context())
        client = Client(connection, lambda: None, traces=told.requests)
        yield client
        await client.close()


async def _reconciled(told: Spans, number: str = "1f2e") -> str:
    """One without requests; returns its trace."""
    with told.reconcile(_KEY, number) as span:
        span.ends("success")
    return span.trace_id


async def test_a_reconcile_arrives_with_its_requests_and_no_others(collector: Collector) -> None:
    told = spans.from_environment()
    async with _client(told) as client:
        with told.reconcile(_KEY, "1f2e") as span:
            await client.merge_status(POD, "ns", "x", {"status": {}})
            with pytest.raises(ApiError):
                await client.get(SECRET, "ns", "token")
            span.ends("error")
        await client.get(LEASE, "ns", "lease")
        async for _ in client.watch(Selection(POD), 1, 1, 1):
            pass
    await told.stop()

    patch, get, reconcile = collector.spans
    assert reconcile == (
        *("reconcile", span.trace_id, reconcile.id, "", True),
        {
            "k8s.namespace.name": "ns",
            "llmservice.name": "x",
            "llmservice.reconcile.id": "1f2e",
            "llmservice.reconcile.result": "error",
        },
        reconcile.resource,
    )
    assert reconcile.resource["service.name"] == "llmservice-operator"
    assert {(s.trace, s.parent) for s in (patch, get)} == {(span.trace_id, reconcile.id)}
    template = "/api/v1/namespaces/{namespace}/pods/{name}/status"
    assert (patch.name, patch.failed) == (f"PATCH {template}", False)
    server, _, port = client.connection.server.removeprefix("http://").partition(":")
    assert patch.attributes == {
        "http.request.method": "PATCH",
        "url.full": f"http://{server}:{port}/api/v1/namespaces/ns/pods/x/status"
        "?fieldManager=llmservice-operator",
        "url.template": template,
        "server.address": server,
        "server.port": int(port),
        "http.response.status_code": 200,
    }
    assert (get.name, get.failed) == ("GET /api/v1/namespaces/{namespace}/secrets/{name}", True)
    assert (get.attributes["http.response.status_code"], get.attributes["error.type"]) == (
        404,
        "404",
    )


async def test_a_request_without_an_answer_arrives_as_failed(collector: Collector) -> None:
    told = spans.from_environment()
    async with _client(told) as client:
        pass
    connection = client.connection
    client = Client(connection, lambda: None, traces=told.requests)
    with told.reconcile(_KEY, "1f2e"), pytest.raises(ApiError):
        await client.get(POD, "ns", "x")
    await client.close()
    await told.stop()

    assert collector.spans[0].failed
    assert collector.spans[0].attributes["error.type"] == "ClientConnectorError"


async def test_the_standard_variables_are_obeyed(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment=blue")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a")
    told = spans.from_environment()
    assert await _reconciled(told)
    await told.stop()
    (arrived,) = collector.spans
    assert (arrived.resource["service.name"], arrived.resource["deployment"]) == ("other", "blue")
    assert collector.headers[0]["x-tenant"] == "a"

    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    told = spans.from_environment()
    assert await _reconciled(told) == "", "the log names no trace that nobody has"
    await told.stop()
    assert len(collector.spans) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [(_ENDPOINT, ""), ("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")],
)
async def test_there_are_none_where_they_are_not_wanted(
    name: str, value: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert type(spans.from_environment()) is Spans


@pytest.mark.parametrize(("endpoint", "imported"), [("", "False"), ("http://127.0.0.1:1", "True")])
def test_without_a_collector_the_sdk_is_not_imported(endpoint: str, imported: str) -> None:
    code = (
        "import sys, llmservice_operator.run as run; run.spans.from_environment();"
        "print('opentelemetry' in sys.modules, 'google.protobuf' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, _ENDPOINT: endpoint},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == [imported, imported]


async def test_a_wrong_variable_is_a_warning_and_no_end(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
    assert type(spans.from_environment()) is Spans
    assert "no spans are sent" in caplog.text


def test_a_variable_that_the_sdk_reads_as_it_is_imported_is_no_end_either(
    collector: Collector,
) -> None:
    code = "from llmservice_operator import spans; print(type(spans.from_environment()).__name__)"
    wrong = {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **wrong},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "Spans\n"
    assert "no spans are sent" in done.stderr


@pytest.mark.parametrize(
    ("header", "arrives"), [('Bearer "s3cret"', True), ("Basic%20s3cret%0As3cret", False)]
)
async def test_a_header_that_cannot_be_read_or_sent_is_not_in_the_log(
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    header: str,
    arrives: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization={header}")
    told = spans.from_environment()
    await _reconciled(told)
    await told.stop()
    assert bool(collector.spans) is arrives
    assert arrives or "spans do not arrive" in caplog.text
    assert "s3cret" not in caplog.text


async def test_a_collector_that_is_down_is_one_warning_until_it_is_back(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    collector.status = 400
    told = spans.from_environment()
    for _ in range(100):
        await _reconciled(told)
        await asyncio.sleep(0.002)
    assert len(collector.headers) > 3
    collector.status = 200
    async with asyncio.timeout(30):
        while not collector.spans:
            await _reconciled(told)
            await asyncio.sleep(0.05)
    await told.stop()

    ours = [(r.levelname, r.message) for r in caplog.records if r.name == otlp.log.name]
    assert [level for level, _ in ours] == ["WARNING", "INFO"]
    assert ours[0][1].startswith("spans do not arrive: ")
    assert not [r for r in caplog.records if r.name.startswith("opentelemetry")]


def _threads() -> set[threading.Thread]:
    """The SDK's; the server's spans may have some too."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("Otel")}


async def test_one_that_hangs_holds_up_neither_a_reconcile_nor_the_end(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    collector.answers.clear()
    others = _threads()
    told = spans.from_environment()
    for number in range(1000):  # many more than may wait
        await _reconciled(told, f"{number}")
    begun = time.monotonic()
    async with asyncio.timeout(8):  # the exporter by itself would wait for ten seconds
        await told.stop()
    assert collector.headers, "it was asked"
    assert time.monotonic() - begun > otlp.FLUSH / 2, "the control: there was something to wait for"

    collector.answers.set()
    async with asyncio.timeout(30):
        while _threads() - others:
            await asyncio.sleep(0.01)
    assert len(collector.spans) <= 8 + 4, "what found no place was dropped"
