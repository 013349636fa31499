"""LiteLLM's proxy as what ours is measured beside: bare, or with keys and budgets.

These lie in PostgreSQL, which it reaches by Prisma's client and query engine. The engine is the
WebAssembly build of the same version that npm carries, run by Node (`rivals/prisma/engine.js`):
the native one comes from Prisma's own host alone, and from no package index. Its CPU is not
counted.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from devcluster import debian

from bench.server import request, rivals
from bench.server.process import Command, Server, running
from dev.postgres import Postgres
from dev.process import free_port

NAME = "LiteLLM"
DATABASE = "litellm"
_PRISMA = rivals.LOCKS / "prisma"
_SECONDS = 300.0
_START = 300.0  # seconds until it serves
_MANY = 10**9  # of all that is limited; nothing is refused
_ENGINE, _COMMAND = Path("prisma/engine"), Path("prisma/bin/prisma")
_ENGINES = ("QUERY_ENGINE_BINARY", "QUERY_ENGINE_LIBRARY", "SCHEMA_ENGINE_BINARY")
# As its documentation has it for production; and nothing is fetched from anywhere.
_ENVIRONMENT = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


def proxy(upstream: int, folder: Path) -> Command:
    """One worker, a master key and no database."""
    return _command(_document(upstream), folder / "litellm.yaml", _ENVIRONMENT)


@asynccontextmanager
async def with_keys(
    upstream: int, folder: Path, redis: str, postgres: Postgres
) -> AsyncGenerator[Server]:
    """One worker, a key of a user with budgets and limits that nothing reaches; Redis counts."""
    programs = _prepared()
    database = postgres.make(DATABASE)
    migrations = programs.parent.glob("lib/*/site-packages/litellm_proxy_extras/migrations/*/*.sql")
    postgres.execute(DATABASE, sorted(migrations))
    address = urlsplit(redis)
    where = {"host": address.hostname, "port": address.port, "password": address.password}
    document = _document(upstream, input_cost_per_token=1e-6, output_cost_per_token=1e-6)
    document["general_settings"]["proxy_batch_write_at"] = 60  # seconds
    document["router_settings"] = {f"redis_{name}": value for name, value in where.items()}
    # What it counts and knows of keys is in Redis, too; answers are not.
    cache: dict[str, object] = {"type": "redis", **where, "supported_call_types": []}
    document["litellm_settings"] = {"cache": True, "cache_params": cache}
    environment = {
        **_ENVIRONMENT,
        "DATABASE_URL": database,
        "DISABLE_SCHEMA_UPDATE": "True",  # done above
        "PRISMA_QUERY_ENGINE_BINARY": str(programs.parent / _ENGINE),
        "PATH": f"{programs.parent / _COMMAND.parent}:{os.environ['PATH']}",
    }
    command = _command(document, folder / "litellm-keys.yaml", environment)
    async with running(command, folder) as server:
        key = await asyncio.to_thread(_key, server.port)
        yield replace(server, command=replace(command, key=key, apart="prisma/engine.js"))


def _document(upstream: int, **params: float) -> dict[str, Any]:
    where = {"api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "sk-upstream"}
    model = {"model": f"openai/{request.MODEL}", **where, **params}
    return {
        "model_list": [{"model_name": request.MODEL, "litellm_params": model}],
        "general_settings": {"master_key": request.KEY},
    }


def _command(document: dict[str, Any], file: Path, environment: dict[str, str]) -> Command:
    port = free_port()
    file.write_text(json.dumps(document))  # JSON is YAML
    words = (
        *(str(_prepared() / "litellm"), f"--config={file}", f"--port={port}"),
        *("--host=127.0.0.1", "--num_workers=1"),
    )
    ready = "/health/readiness"
    return Command(NAME, words, port, ready=ready, environment=environment, patience=_START)


def _key(port: int) -> str:
    """Of a user; both may spend more than there will be."""
    user = {"user_id": "alice", "max_budget": _MANY, "auto_create_key": False}
    _post(port, "/user/new", user)
    limits = {"rpm_limit": _MANY, "tpm_limit": _MANY, "max_parallel_requests": 10**6}
    budget = {"max_budget": _MANY, "budget_duration": "30d"}
    key = {"user_id": "alice", "models": [request.MODEL], **budget, **limits}
    return _post(port, "/key/generate", key)["key"]


def _post(port: int, path: str, document: object) -> Any:
    headers = {"authorization": f"Bearer {request.KEY}", "content-type": "application/json"}
    url = f"http://127.0.0.1:{port}{path}"
    with urlopen(Request(url, json.dumps(document).encode(), headers), timeout=60) as answer:
        return json.load(answer)


def _prepared() -> Path:
    """The folder of its programs."""
    said = "".join(file.read_text() for file in sorted(_PRISMA.iterdir()))
    return rivals.installed("litellm", _add_prisma, said)


def _add_prisma(place: Path) -> None:
    """Its client, as generated for LiteLLM's tables, and its engine.

    In place of its command, with which LiteLLM would look whether the tables are those it wants,
    nothing: that takes another engine.
    """
    debian.ensure_program("npm", "npm")
    folder = place / "prisma"
    shutil.copytree(_PRISMA, folder)
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    _run(("npm", "ci", *quiet), folder, dict(os.environ))
    engine = place / _ENGINE
    _script(engine, f'exec node "{folder}/engine.js" "$@"')
    _script(place / _COMMAND, "exit 0")
    [schema] = place.glob("lib/*/site-packages/litellm/proxy/schema.prisma")
    command = ("node", str(folder / "node_modules/prisma/build/index.js"), "generate", "--schema")
    environment = {
        **os.environ,
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "CHECKPOINT_DISABLE": "1",
        "PRISMA_CLI_QUERY_ENGINE_TYPE": "binary",
        # else it fetches one from Prisma's own host; what generates asks none of them
        **{f"PRISMA_{name}": str(engine) for name in _ENGINES},
    }
    _run((*command, str(schema)), place, environment)


def _run(words: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
    silent = subprocess.DEVNULL
    subprocess.run(words, cwd=folder, env=environment, check=True, timeout=_SECONDS, stdout=silent)


def _script(file: Path, line: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{line}\n")
    file.chmod(0o755)
