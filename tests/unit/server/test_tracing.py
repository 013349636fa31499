"""Spans of requests: what reaches a collector, what is behind the gateway, and what it costs."""

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from llmservice_server.config import EngineConfig, ServerConfig, TracingConfig
from llmservice_server.engines.vllm_argv import vllm_argv
from llmservice_server.engines.vllm_environment import vllm_environment
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.otlp import Spans
from llmservice_server.gateway.tracing import tracing

from tests.collector import Arrived, Collector, collecting
from tests.unit.server.small_engine import MODEL, Served, SmallEngine, served

_TRACE, _PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
_TRACEPARENT = f"00-{_TRACE}-{_PARENT}-01"
_COMPLETION = {"model": "small", "prompt": "body-secret", "max_tokens": 4}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with collecting() as made:
        yield made


@asynccontextmanager
async def _traced(url: str) -> AsyncIterator[tuple[Served, httpx2.AsyncClient]]:
    async with (
        served(SmallEngine(), tracing=TracingConfig(otlp_endpoint=url)) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=30) as client,
    ):
        yield server, client


async def _arrived(collector: Collector, number: int = 1) -> list[Arrived]:
    async with asyncio.timeout(30):
        while len(collector.spans) < number:
            await asyncio.sleep(0.02)
    return collector.spans


def _seen(server: Served) -> tuple[str, str]:
    """Trace and parent of the one request that the engine has seen."""
    (seen,) = server.engine.seen_traces
    _, trace, parent, _ = seen.split("-")
    return trace, parent


async def test_a_request_is_a_span_of_the_clients_trace_and_the_engine_gets_its_own(
    collector: Collector,
) -> None:
    async with _traced(collector.url) as (server, client):
        body = {**_COMPLETION, "stream": True, "stream_options": {"include_usage": True}}
        await client.post("/v1/completions", json=body, headers={"traceparent": _TRACEPARENT})
        (span,) = await _arrived(collector)
        assert (span.trace, span.parent) == (_TRACE, _PARENT)
        assert server.engine.seen_traces == [f"00-{_TRACE}-{span.id}-01"]
    assert span.name == "text_completion small"
    assert not span.failed
    assert 0 < span.attributes.pop("gen_ai.response.time_to_first_chunk") < 30
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/completions",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "small",
        "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 4,
    }
    assert span.resource["service.name"] == "llmservice-server"
    assert span.resource["deployment.environment.name"] == "production"


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({}, "small"),
        ({"model": "french"}, "french"),
        ({"model": "a-clients-words"}, None),
        ({"model": ["small"]}, None),
    ],
)
async def test_a_span_tells_the_model_that_was_asked_by_the_name_that_is_served(
    collector: Collector, named: dict[str, object], told: str | None
) -> None:
    async with _traced(collector.url) as (_, client):
        await client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1, **named})
        (span,) = await _arrived(collector)
    assert span.attributes.get("gen_ai.request.model") == told
    assert span.name == " ".join(filter(None, ["text_completion", told]))


async def test_a_request_without_a_trace_begins_one_that_the_access_log_names(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "llmservice.access")
    async with _traced(collector.url) as (server, client):
        await client.post("/v1/completions", json=_COMPLETION)
        (span,) = await _arrived(collector)
        assert _seen(server) == (span.trace, span.id)
    assert span.parent == ""
    (record,) = [r for r in caplog.records if r.name == "llmservice.access"]
    assert vars(record)["fields"]["trace_id"] == span.trace


@pytest.mark.parametrize("given", ["", "x", f"00-{_TRACE}-{'0' * 16}-01", "\xff" * 55])
async def test_what_is_no_traceparent_begins_a_trace_of_its_own(
    collector: Collector, given: str
) -> None:
    async with _traced(collector.url) as (server, client):
        headers = {"traceparent": given.encode("latin-1")}
        answer = await client.post("/v1/completions", json=_COMPLETION, headers=headers)
        assert answer.status_code == 200
        (span,) = await _arrived(collector)
        assert span.trace != _TRACE
        assert _seen(server) == (span.trace, span.id)


async def test_what_the_client_does_not_want_sampled_is_not_and_the_engine_is_told(
    collector: Collector,
) -> None:
    async with _traced(collector.url) as (server, client):
        headers = {"traceparent": _TRACEPARENT.removesuffix("01") + "00"}
        await client.post("/v1/completions", json=_COMPLETION, headers=headers)
        await client.post("/v1/completions", json=_COMPLETION)
        (span,) = await _arrived(collector)
        assert span.trace != _TRACE
        assert server.engine.seen_traces[0].startswith(f"00-{_TRACE}-")
        assert server.engine.seen_traces[0].endswith("-00")


async def test_a_refusal_is_a_failed_span_and_a_probe_is_none(collector: Collector) -> None:
    async with _traced(collector.url) as (server, client):
        for path in ("/livez", "/readyz", "/health", "/metrics"):
            await client.get(path)
        server.context.lifecycle.refuse()
        await client.post("/v1/completions", json=_COMPLETION)
        (span,) = await _arrived(collector)
    assert span.failed
    assert span.attributes["error.type"] == "unavailable"
    assert span.attributes["http.response.status_code"] == 503


async def test_no_prompt_key_query_or_path_of_a_client_is_in_a_span(collector: Collector) -> None:
    async with _traced(collector.url) as (_, client):
        headers = {"authorization": "Bearer key-secret"}
        await client.post("/v1/completions?q=q-secret", json=_COMPLETION, headers=headers)
        await client.get("/v1/models/path-secret", headers=headers)
        spans = await _arrived(collector, 2)
    assert "secret" not in json.dumps(spans)


async def test_a_collector_that_is_away_costs_one_warning_and_no_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1")
    async with _traced("http://127.0.0.1:9") as (_, client):
        for _ in range(3):
            assert (await client.post("/v1/completions", json=_COMPLETION)).is_success
            await asyncio.sleep(1.3)
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert [record.name for record in warnings] == ["llmservice.tracing"]


def test_a_collector_that_hangs_does_not_hold_up_the_end(collector: Collector) -> None:
    collector.answers.clear()
    context = Context(
        ServerConfig(model=MODEL, tracing=TracingConfig(otlp_endpoint=collector.url)),
        SmallEngine(),
    )
    spans = tracing(context)
    assert isinstance(spans, Spans)
    began = time.monotonic()
    spans.stop()
    assert time.monotonic() - began < 10


_PROGRAM = """
import sys
from llmservice_server.config import ModelConfig, ServerConfig, TracingConfig
from llmservice_server.gateway import Gateway
from llmservice_server.gateway.context import Context
tracing = TracingConfig(otlp_endpoint=sys.argv[1] or None)
model = ModelConfig(uri="file:///m", source="/m", served_name="m")
Gateway(None, Context(ServerConfig(model=model, tracing=tracing), None))
print("opentelemetry.sdk" in sys.modules)
"""


@pytest.mark.parametrize(
    ("endpoint", "environment", "imported"),
    [
        ("", {}, "False"),
        ("http://127.0.0.1:9", {}, "True"),
        ("http://127.0.0.1:9", {"OTEL_SDK_DISABLED": "true"}, "False"),
    ],
)
def test_without_a_collector_the_sdk_is_not_imported(
    endpoint: str, environment: dict[str, str], imported: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, endpoint],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment,
    )
    assert done.stdout.strip() == imported


def test_tracing_is_on_where_an_endpoint_is_named_or_it_is_asked_for() -> None:
    assert TracingConfig().endpoint is None
    assert TracingConfig(enabled=True).endpoint == "http://localhost:4318/v1/traces"
    assert TracingConfig(otlp_endpoint="http://c:1/").endpoint == "http://c:1/v1/traces"
    assert TracingConfig(enabled=False, otlp_endpoint="http://c:1").endpoint is None


def test_vllms_own_spans_go_to_the_same_collector_by_the_same_protocol() -> None:
    def told(config: ServerConfig) -> tuple[list[str], str | None]:
        argv = vllm_argv(config, host="::", middleware="a.B", compiles=True)
        environment = vllm_environment(
            config, given={}, logging_file=Path("x"), plugins=["x"], compiles=True
        )
        flags = [flag for flag in argv if flag.startswith("--otlp")]
        return flags, environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")

    on = TracingConfig(otlp_endpoint="http://c:4318")
    flag = "--otlp-traces-endpoint=http://c:4318/v1/traces"
    assert told(ServerConfig(model=MODEL)) == ([], None)
    assert told(ServerConfig(model=MODEL, tracing=on)) == ([flag], "http/protobuf")
    own = EngineConfig(args={"otlp-traces-endpoint": "grpc://d:4317"})
    flags, _ = told(ServerConfig(model=MODEL, tracing=on, engine=own))
    assert flags == ["--otlp-traces-endpoint=grpc://d:4317"]
