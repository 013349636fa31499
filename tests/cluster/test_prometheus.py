"""Debian's Prometheus scrapes the server's metrics, and its promtool finds nothing to complain of.

Needs no cluster, but a program that is installed as the cluster's are.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from prometheus_client import REGISTRY

from dev.process import free_port
from tests import promtool
from tests.unit.server.small_engine import SmallEngine, served

_LIMIT = 60  # seconds for what takes a few
_CONFIG = """
global: {{scrape_interval: 500ms}}
scrape_configs: [{{job_name: server, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]
"""


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    promtool.ensure()


@asynccontextmanager
async def prometheus(folder: Path, port: int) -> AsyncIterator[httpx2.AsyncClient]:
    """One that scrapes this port."""
    config, own = folder / "prometheus.yml", free_port()
    config.write_text(_CONFIG.format(port=port))
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{own}",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{own}") as client:
            yield client
    finally:
        process.terminate()
        await process.wait()


async def until(prometheus: httpx2.AsyncClient, query: str, value: str) -> None:
    """Prometheus answers the query with this value."""
    async with asyncio.timeout(_LIMIT):
        while True:
            try:
                answer = await prometheus.get("/api/v1/query", params={"query": query})
                found = answer.json()["data"]["result"]
            except (httpx2.TransportError, ValueError):
                found = []
            if [series["value"][1] for series in found] == [value]:
                return
            await asyncio.sleep(0.1)


async def test_what_prometheus_scrapes_is_what_happened(tmp_path: Path) -> None:
    body = {"max_tokens": 4, "stream": True, "stream_options": {"include_usage": True}}
    async with (
        served(SmallEngine()) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        prometheus(tmp_path, server.port) as watching,
    ):
        await until(watching, "up", "1")
        await until(watching, "model_loaded", "1")
        labels = {"route": "/v1/completions"}
        before = REGISTRY.get_sample_value("llmservice_output_tokens_total", labels) or 0
        for _ in range(3):
            assert (await client.post("/v1/completions", json=body)).is_success
        query = 'llmservice_output_tokens_total{route="/v1/completions"}'
        await until(watching, query, f"{before + 12:g}")


async def test_promtool_has_nothing_to_complain_of() -> None:
    async with (
        served(SmallEngine()) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        for path in ("/v1/completions", "/nowhere"):
            await client.post(path, json={"max_tokens": 1})
        scraped = (await client.get("/metrics")).content
    assert b"llmservice_requests_total" in scraped
    assert promtool.complaints(scraped) == []
    wrong = b"# TYPE requests counter\nrequests 1\n"
    complaints = promtool.complaints(wrong)
    assert any("counter metrics should have" in complaint for complaint in complaints)
