"""What compose.yaml starts works together: the server as it configures it, with a real Redis, a
real PostgreSQL and a real Prometheus in place of their containers.

Needs no cluster, but programs that are installed as the cluster's are.
"""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from dev.postgres import Postgres
from dev.process import free_port
from dev.redis import Redis
from tests.cluster.test_prometheus import prometheus
from tests.unit.server.proxy.proxied import chat
from tests.unit.server.proxy.upstream_double import answer, upstream

_FILE = Path("compose.yaml")
_FOLDER = Path("compose")
_DASHBOARD = _FOLDER / "grafana/dashboards/llmservice.json"
_ENV = ("DATABASE_PASSWORD", "REDIS_PASSWORD", "KEY_PEPPER", "GRAFANA_PASSWORD")
_ANSWER = {
    "choices": [{"message": {"content": "Paris"}}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}
# Of what was neither streamed, refused by a limit nor lost.
_SILENT = [
    "Time to first token",
    "Time between tokens",
    "Refused by a limit, a second",
    "History lost in the last hour",
]
_LIMIT = 60  # seconds for what takes a moment; a machine may be busy
# ${NAME}, with a default after :- and with what is said where it is missing after :?
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::-([^}]*)|:\?[^}]*)?\})")


def _composed(**env: str) -> dict[str, Any]:
    """compose.yaml's services with these variables, as compose puts them in."""

    def put_in(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        if name is None:
            return "$"
        return env[name] if default is None else env.get(name) or default

    return yaml.safe_load(_VARIABLE.sub(put_in, _FILE.read_text()))["services"]


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    made = Redis()
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    server = Postgres()
    try:
        server.start()
        yield server.make("composed")
    finally:
        server.close()


def test_what_is_mounted_is_there_and_what_must_be_set_is_what_the_docs_set() -> None:
    services = _composed(**dict.fromkeys(_ENV, "x"))
    mounts = [mount for service in services.values() for mount in service.get("volumes", ())]
    files = [Path(mount.partition(":")[0]) for mount in mounts if mount.startswith("./")]
    assert files
    assert all(file.exists() for file in files), files
    documented = re.search(r"for name in (.+?); do", Path("docs/compose.md").read_text())
    assert documented
    assert tuple(documented[1].split()) == _ENV
    with pytest.raises(KeyError):
        _composed()


def test_grafana_finds_its_dashboard_and_the_dashboard_its_prometheus() -> None:
    provisioned = _FOLDER / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioned / "datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    (of,) = yaml.safe_load((provisioned / "dashboards/llmservice.yaml").read_text())["providers"]
    mounts = _composed(**dict.fromkeys(_ENV, "x"))["grafana"]["volumes"]
    assert f"./{_DASHBOARD.parent}:{of['options']['path']}:ro" in mounts
    panels = json.loads(_DASHBOARD.read_text())["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"


async def test_a_users_key_opens_it_an_answer_is_given_again_and_each_panel_has_something_to_show(
    redis: Redis, dsn: str, tmp_path: Path
) -> None:
    async with (
        upstream(answer(200, json.dumps(_ANSWER).encode())) as up,
        _server(f"{up.url}/v1", redis.url, dsn) as (server, admin),
        prometheus(tmp_path, server.base_url.port or 80) as watching,
    ):
        assert "sk-" in await admin("bootstrap")
        await admin("users", "add", "alice")
        key = json.loads(await admin("--json", "keys", "add", "alice"))["key"]
        question = chat() | {"temperature": 0}
        refused = await server.post("/v1/chat/completions", json=question)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        bearer = {"authorization": f"Bearer {key}"}

        async def asked() -> httpx2.Response:
            return await server.post("/v1/chat/completions", json=question, headers=bearer)

        async with asyncio.timeout(_LIMIT):  # to keep an answer holds nobody up
            while "hit" not in (answered := await asked()).headers["cache-status"]:
                assert answered.json() == _ANSWER
        assert answered.json() == _ANSWER
        assert answered.headers["x-ratelimit-limit-requests"] == "60"

        deadline, silent = time.monotonic() + _LIMIT, list[str]()
        while silent != _SILENT and time.monotonic() < deadline:
            question["seed"] = question.get("seed", 0) + 1
            await asked()
            await asyncio.sleep(2)  # what rises between two scrapes is seen
            silent = [title for title, query in _queries() if not await _shown(watching, query)]
        assert silent == _SILENT


def _queries() -> Iterator[tuple[str, str]]:
    for panel in json.loads(_DASHBOARD.read_text())["panels"]:
        query = panel["targets"][0]["expr"]
        yield panel["title"], query.replace("$__rate_interval", "1m")


async def _shown(watching: httpx2.AsyncClient, query: str) -> bool:
    """Whether there is a series at all; a query that is none fails."""
    found = (await watching.get("/api/v1/query", params={"query": query})).json()
    assert found["status"] == "success", found
    return any(series["value"][1] != "NaN" for series in found["data"]["result"])


@asynccontextmanager
async def _server(upstream_url: str, redis_url: str, dsn: str) -> AsyncIterator[Any]:
    """As compose.yaml starts it, but for where the others are: a client, and its admin command."""
    service = _composed(**dict.fromkeys(_ENV, "x"), UPSTREAM_URL=upstream_url)["server"]
    port = free_port()
    env = {**os.environ, **service["environment"], "LLMSERVICE_PORT": str(port)}
    assert {"DATABASE_URL", "REDIS_URL"} <= env.keys()
    env |= {"DATABASE_URL": dsn, "REDIS_URL": redis_url}
    (mount,) = service["volumes"]
    mine, _, theirs = mount.removesuffix(":ro").partition(":")

    def command(*arguments: str) -> tuple[str, ...]:
        said = (mine if word == theirs else word for word in arguments)
        return (sys.executable, "-m", "llmservice_server", *said)

    async def admin(*arguments: str) -> str:
        run = await asyncio.create_subprocess_exec(
            *command("admin", "--config", mine, *arguments), stdout=asyncio.subprocess.PIPE, env=env
        )
        async with asyncio.timeout(_LIMIT):
            out, _ = await run.communicate()
        assert run.returncode == 0
        return out.decode()

    process = await asyncio.create_subprocess_exec(*command(*service["command"]), env=env)
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx2.AsyncClient(base_url=url, timeout=_LIMIT) as client:
            async with asyncio.timeout(_LIMIT):
                while not await _ready(client):
                    await asyncio.sleep(0.1)
            yield client, admin
    finally:
        process.kill()
        await process.wait()


async def _ready(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).is_success
    except httpx2.TransportError:
        return False
