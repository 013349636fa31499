"""The proxy as a process: how it starts, drains and fails."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from dev.process import free_port
from tests.collector import collecting
from tests.unit.server.identity.identity_provider import AUDIENCE, identity_provider
from tests.unit.server.proxy.proxied import CHAT, chat, to
from tests.unit.server.proxy.upstream_double import CHUNK, DONE, KEY, endless, stream, upstream


@dataclass
class Running:
    process: asyncio.subprocess.Process
    url: str


async def _start(folder: Path, upstream_url: str, port: int, **env: str) -> Running:
    file = folder / "config.yaml"
    of_upstream = to(upstream_url, apiKey={"variable": "THE_KEY"})
    engine = {"type": "proxy", "upstreams": [of_upstream]}
    drain = {"graceSeconds": 1, "timeoutSeconds": 5}
    file.write_text(json.dumps({"port": port, "drain": drain, "engine": engine}))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llmservice_server", "serve", "--config", str(file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **env},
    )
    return Running(process, f"http://127.0.0.1:{port}")


@asynccontextmanager
async def _ready(folder: Path, upstream_url: str, **env: str) -> AsyncIterator[Running]:
    running = await _start(folder, upstream_url, free_port(), THE_KEY=KEY, **env)
    try:
        async with httpx2.AsyncClient(base_url=running.url) as client, asyncio.timeout(60):
            while True:
                try:
                    if (await client.get("/readyz")).status_code == 200:
                        break
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)
        yield running
    finally:
        if running.process.returncode is None:
            running.process.kill()
        await running.process.communicate()


async def test_what_is_in_flight_is_finished_and_it_ends_with_0_and_no_key_in_its_log(
    tmp_path: Path,
) -> None:
    chunks = [CHUNK] * 10
    async with (
        upstream(stream(*chunks, DONE, pause=0.3)) as a,
        _ready(tmp_path, a.url) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=30) as client,
    ):
        streamed = asyncio.create_task(client.post(CHAT, json=chat(stream=True)))
        while not a.seen:
            await asyncio.sleep(0.01)
        running.process.send_signal(signal.SIGTERM)
        assert (await streamed).content == b"".join(chunks) + DONE
        assert a.seen[0].headers["authorization"] == f"Bearer {KEY}"
        out, err = await asyncio.wait_for(running.process.communicate(), 20)
        assert running.process.returncode == 0
        assert KEY.encode() not in out + err


@pytest.mark.parametrize(("told", "seconds"), [(signal.SIGTERM, 6), (signal.SIGINT, 0)])
async def test_a_stream_without_an_end_does_not_keep_it_from_ending(
    tmp_path: Path, told: signal.Signals, seconds: float
) -> None:
    async with (
        upstream(endless(0.1)) as a,
        _ready(tmp_path, a.url) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=30) as client,
    ):
        streamed = asyncio.create_task(client.post(CHAT, json=chat(stream=True)))
        while not a.seen:
            await asyncio.sleep(0.01)
        running.process.send_signal(told)
        out, err = await asyncio.wait_for(running.process.communicate(), seconds + 15)
        assert running.process.returncode == 0
        assert b"Traceback" not in out + err
        with pytest.raises(httpx2.TransportError):  # cut, and seen as such
            await streamed
        assert a.left == 1


async def test_without_its_key_it_ends_with_2_and_a_line_that_names_the_variable(
    tmp_path: Path,
) -> None:
    running = await _start(tmp_path, "http://127.0.0.1:9/v1", free_port())
    _, err = await asyncio.wait_for(running.process.communicate(), 60)
    assert running.process.returncode == 2
    assert b"the variable THE_KEY" in err


async def test_spans_go_where_the_variable_for_traces_says(tmp_path: Path) -> None:
    with collecting() as collector:
        where = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces"}
        async with (
            upstream(stream(CHUNK, DONE)) as a,
            _ready(tmp_path, a.url, OTEL_BSP_SCHEDULE_DELAY="50", **where) as running,
            httpx2.AsyncClient(base_url=running.url, timeout=30) as client,
        ):
            assert (await client.post(CHAT, json=chat(stream=True))).is_success
            async with asyncio.timeout(30):
                while not collector.spans:
                    await asyncio.sleep(0.02)


async def test_no_key_that_a_client_shows_is_in_a_log_a_span_a_metric_or_an_answer(
    tmp_path: Path,
) -> None:
    good, wrong = "a-good-secret-key", "a-wrong-secret-key"
    token = "eyJhbGciOiJub25lIn0.eyJzZWNyZXQiOiAxfQ.secret"
    with identity_provider() as idp, collecting() as collector:
        env = {
            "API_KEY": good,
            "LOG_LEVEL": "debug",
            "LLMSERVICE_AUTH_OIDC_ISSUER": idp.url,
            "LLMSERVICE_AUTH_OIDC_AUDIENCE": AUDIENCE,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        good_token, said = idp.token(), list[str]()
        async with (
            upstream(stream(CHUNK, DONE)) as a,
            _ready(tmp_path, a.url, **env) as running,
            httpx2.AsyncClient(base_url=running.url, timeout=30) as client,
        ):
            for key in (good, good_token, wrong, token, f"sk-{'secret' * 9}"[:54], "secret" * 9000):
                for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
                    answer = await client.post(CHAT, json=chat(stream=True), headers=headers)
                    good_one = key in {good, good_token}
                    assert (answer.status_code == 200) is good_one, (key[:20], answer.text)
                    said.append(f"{answer.headers} {answer.text}")
            for headers in ({"authorization": f"Basic {wrong}"}, {"authorization": wrong}):
                said.append((await client.get("/v1/models", headers=headers)).text)
            said.append((await client.get("/metrics")).text)
            async with asyncio.timeout(30):
                while len(collector.spans) < 14:
                    await asyncio.sleep(0.02)
            running.process.send_signal(signal.SIGTERM)
            out, err = await asyncio.wait_for(running.process.communicate(), 20)
    told = "".join([*said, str(collector.spans), out.decode(), err.decode()])
    assert '"user": "oidc:ada"' in told or '"user":"oidc:ada"' in told
    for secret in ("secret", good_token, good_token.split(".")[2], KEY):
        assert secret not in told


async def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        running = await _start(tmp_path, "http://127.0.0.1:9/v1", port, THE_KEY=KEY)
        _, err = await asyncio.wait_for(running.process.communicate(), 60)
    assert running.process.returncode == 1
    assert f"port {port} cannot be listened on".encode() in err


async def test_an_address_on_the_command_line_is_checked_as_in_a_file() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llmservice_server", "--upstream", "https://u:secret@a/v1"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert b"--upstream: url: holds credentials" in err
    assert b"secret" not in err


async def test_garbage_is_collected_once_it_serves(tmp_path: Path) -> None:
    """Not while it starts, which would take a tenth longer."""
    async with (
        upstream() as a,
        _ready(tmp_path, a.url) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=30) as client,
    ):

        async def collected() -> float:
            lines = (await client.get("/metrics")).text.splitlines()
            counts = [line for line in lines if line.startswith("python_gc_collections_total")]
            return sum(float(count.split()[-1]) for count in counts)

        before = await collected()
        async with asyncio.timeout(30):
            while await collected() == before:
                pass
