"""What every request and every probe gets from the gateway, over real sockets."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx2
import pytest
from llmservice_server.config import HttpConfig
from llmservice_server.logs import JsonFormatter

from tests.unit.server.small_engine import Served, SmallEngine, served, until


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with served(SmallEngine()) as running:
        await until(lambda: running.context.lifecycle.phase.value == "ready")
        yield running


@pytest.fixture
async def client(server: Served) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server.url, timeout=10) as made:
        yield made


def _completion(words: int = 3, *, stream: bool = False) -> dict[str, Any]:
    return {"model": "small", "prompt": "Hello", "max_tokens": words, "stream": stream}


async def test_a_sane_request_id_reaches_the_engine_and_comes_back(
    server: Served, client: httpx2.AsyncClient
) -> None:
    answer = await client.post(
        "/v1/completions", json=_completion(), headers={"x-request-id": "order-7.a:b_c"}
    )
    assert answer.headers.get_list("x-request-id") == ["order-7.a:b_c"]
    assert server.engine.seen_ids[-1] == "order-7.a:b_c"


@pytest.mark.parametrize("forged", ['x" level="error', "a" * 129, "ä", ""])
async def test_an_id_that_could_forge_a_log_line_is_replaced(
    server: Served, client: httpx2.AsyncClient, forged: str
) -> None:
    answer = await client.post(
        "/v1/completions", json=_completion(), headers={"x-request-id": forged.encode()}
    )
    assert len(answer.headers["x-request-id"]) == 32
    assert server.engine.seen_ids[-1] == answer.headers["x-request-id"]


async def test_each_request_without_an_id_gets_its_own(client: httpx2.AsyncClient) -> None:
    ids = {(await client.get("/livez")).headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5


async def test_ready_only_after_a_completion_went_through() -> None:
    async with (
        served(SmallEngine(failing_first=1)) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        before = await client.get("/readyz")
        assert before.status_code == 503
        assert before.json()["status"] == "starting"
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/health")).json()["phase"] == "completion"
        await until(lambda: server.context.lifecycle.phase.value == "ready")
        assert (await client.get("/readyz")).json() == {"status": "ready"}
        assert len(server.engine.seen_ids) == 0  # its own completions passed no other layer


async def test_a_dead_engine_turns_livez_readyz_and_health_red(
    server: Served, client: httpx2.AsyncClient
) -> None:
    assert [(await client.get(p)).status_code for p in ("/livez", "/readyz", "/health")] == [
        200,
        200,
        200,
    ]
    server.engine.died = "the engine's process died"
    for path in ("/livez", "/readyz", "/health"):
        answer = await client.get(path)
        assert answer.status_code == 503
        assert answer.json()["reason"] == "the engine's process died"


async def test_a_server_that_stops_closes_each_connection_whoever_answers() -> None:
    asked: list[tuple[str, str, dict[str, str]]] = [
        ("GET", "/livez", {}),
        ("GET", "/readyz", {}),
        ("POST", "/status", {}),
        ("GET", "/metrics", {}),
        ("GET", "/up", {}),
        ("GET", "/up", {"host": "elsewhere"}),
        ("GET", "/predict", {}),
        ("OPTIONS", "/up", {"origin": "https://a.b", "access-control-request-method": "POST"}),
    ]
    async with (
        served(SmallEngine(), http=HttpConfig(trusted_hosts=["127.0.0.1"])) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):

        async def said() -> list[str | None]:
            answers = [await client.request(m, path, headers=more) for m, path, more in asked]
            return [answer.headers.get("connection") for answer in answers]

        assert await said() == [None] * len(asked)
        server.context.lifecycle.drain()
        assert await said() == ["close"] * len(asked)
        server.context.lifecycle.refuse()
        assert await said() == ["close"] * len(asked)


async def test_health_says_what_people_ask(client: httpx2.AsyncClient) -> None:
    answer = (await client.get("/health")).json()
    assert answer.pop("uptime_seconds") >= 0
    assert datetime.fromisoformat(answer.pop("timestamp")).tzinfo
    assert answer == {
        "status": "ready",
        "api_status": "serving",
        "model_status": "loaded",
        "gpu_status": "none",
        "model": "small",
        "in_flight": 0,
    }


async def test_status_says_how_far_the_server_is_and_is_answered_in_every_phase(
    server: Served, client: httpx2.AsyncClient
) -> None:
    said = list[tuple[int, str, str]]()

    async def ask() -> dict[str, Any]:
        answer = await client.get("/status")
        told = answer.json()
        said.append((answer.status_code, told["status"], told["phase"]))
        return told

    assert (await ask())["seconds"] >= 0
    server.context.lifecycle.drain()
    assert (await ask())["seconds"] < 1
    server.context.lifecycle.refuse()
    await ask()
    server.engine.died = "the engine's process died"
    assert (await ask())["reason"] == "the engine's process died"
    assert said == [
        (200, "ready", "ready"),
        (200, "draining", "draining"),
        (200, "refusing", "refusing"),
        (200, "dead", "dead"),
    ]


async def test_health_tells_api_model_and_gpu_apart(
    server: Served, client: httpx2.AsyncClient
) -> None:
    async def told() -> tuple[str, str]:
        answer = (await client.get("/health")).json()
        return answer["api_status"], answer["model_status"]

    server.context.lifecycle.drain()
    assert await told() == ("draining", "loaded")
    server.engine.died = "the engine's process died"
    assert await told() == ("draining", "failed")


async def test_a_probe_route_answers_get_only(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/readyz")
    assert answer.status_code == 405
    assert answer.json()["error"]["type"] == "method_not_allowed"
    assert (await client.head("/readyz")).status_code == 200


async def test_a_stream_is_in_flight_until_its_last_byte(
    server: Served, client: httpx2.AsyncClient
) -> None:
    async with client.stream("POST", "/v1/completions", json=_completion(100, stream=True)) as got:
        lines = got.aiter_lines()
        await anext(lines)
        assert server.context.lifecycle.in_flight == 1
        rest = [line async for line in lines if line]
    assert rest[-1] == "data: [DONE]"
    await until(lambda: server.context.lifecycle.in_flight == 0)


async def test_a_client_that_leaves_is_no_longer_in_flight(server: Served) -> None:
    server.engine.pace = 0.05
    body = json.dumps(_completion(10_000, stream=True))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}"
    writer.write(f"{head}\r\n\r\n{body}".encode())
    await reader.readuntil(b"data: w0")
    assert server.context.lifecycle.in_flight == 1
    writer.transport.abort()
    await until(lambda: server.context.lifecycle.in_flight == 0, seconds=2)
    assert server.engine.left_early == 1


async def test_a_request_that_raises_is_no_longer_in_flight(
    server: Served, client: httpx2.AsyncClient
) -> None:
    assert (await client.get("/crash")).status_code == 500
    assert server.context.lifecycle.in_flight == 0


async def test_the_access_log_has_one_json_line_a_request_and_no_bodies_or_keys(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "llmservice.access")
    await client.post(
        "/v1/completions?token=q-secret",
        json={
            **_completion(2, stream=True),
            "prompt": "body-secret",
            "stream_options": {"include_usage": True},
        },
        headers={"x-request-id": "r-1", "authorization": "Bearer key-secret"},
    )
    await client.get("/v1/key-secret/models")
    await client.get("/crash")
    lines = [
        JsonFormatter().format(record)
        for record in caplog.records
        if record.name == "llmservice.access"
    ]
    first, unknown, crash = (json.loads(line) for line in lines)
    assert "secret" not in "".join(lines)
    assert first.pop("time")
    assert 0 < first.pop("first_token_seconds") < first.pop("seconds")
    assert first == {
        "level": "info",
        "logger": "llmservice.access",
        "message": "request",
        "request_id": "r-1",
        "method": "POST",
        "route": "/v1/completions",
        "status": 200,
        "streaming": True,
        "complete": True,
        "input_tokens": 3,
        "output_tokens": 2,
    }
    assert (unknown["status"], unknown["error"]) == (404, "not_found")
    assert unknown["route"] == "other"
    assert (crash["status"], crash["complete"], crash["error"]) == (500, False, "internal")


async def test_polled_routes_are_logged_at_debug_only(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "llmservice.access")
    for path in ("/livez", "/readyz", "/health", "/metrics"):
        await client.get(path)
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
    assert len(caplog.records) == 4
