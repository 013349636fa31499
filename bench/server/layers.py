"""The engine proxy with all that it can do about callers: beside itself without any of it, and
beside LiteLLM's proxy with keys and budgets, all before the same instant upstream.

Twice: with Redis and PostgreSQL on this machine, and with memory and SQLite. No two requests are
the same, so that the cache looks, finds nothing and keeps each answer.
"""

import asyncio
import json
import os
import secrets
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bench.server import litellm, load, monitor, proxy, request
from bench.server.figures import Figure
from bench.server.process import Command, Server, ServerError, running
from dev.postgres import Postgres
from dev.progress import say
from dev.redis import Redis

SHARED, ALONE = "Redis and PostgreSQL", "memory and SQLite"
_MANY = 10**9  # of everything that is limited; nothing is refused
_PLAN = {
    "name": "default",
    "perKey": {
        "requestsPerMinute": _MANY,
        "tokensPerMinute": _MANY,
        "concurrentRequests": 10**6,
        "concurrentStreams": 10**6,
    },
    "perUser": {"requestsPerMinute": _MANY, "tokensPerMinute": _MANY},
    "monthlyRequests": _MANY,
    "monthlyTokens": _MANY,
}
_LAYERS: dict[str, object] = {
    "auth": {"stored": True, "pepper": {"variable": "KEY_PEPPER"}, "plans": [_PLAN]},
    "limits": {"perAddress": {"requestsPerMinute": _MANY}},
    "history": {},
    "cache": {},
    "idempotency": {},
}
_DATABASE = "layers"
_COUNTED, _TOLD = 10, 11  # seconds, and those after which PostgreSQL has told of all of it
_LATER = ("set",)  # of Redis' commands: what keeps an answer, after it was sent


async def measure(rounds: int, folder: Path) -> list[Figure]:
    load.ensure()
    body = folder / "chat.json"
    body.write_bytes(request.chat(seed=0))
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(closing(Postgres()))
        redis, other = (stack.enter_context(closing(Redis())) for _ in range(2))
        for each in (postgres, redis, other):
            each.start()
        behind = await stack.enter_async_context(running(proxy.upstream(), folder))
        commands = [
            proxy.ours(behind.port, folder / "ours.yaml"),
            await _shared(behind.port, folder, redis.url, postgres.make(_DATABASE)),
            await _alone(behind.port, folder),
        ]
        say(f"layers: {', '.join(command.name for command in commands)}, {litellm.NAME} start …")
        subjects = [await stack.enter_async_context(running(c, folder)) for c in commands]
        rival = litellm.with_keys(behind.port, folder, other.url, postgres)
        subjects.append(await stack.enter_async_context(rival))
        found = await proxy.asked("layers", subjects, rounds, body)
        say("layers: what Redis and PostgreSQL are asked …")
        own = await _calls(subjects[1], redis, postgres, _DATABASE, body)
        rivals = await _calls(subjects[3], other, postgres, litellm.DATABASE, body)
    bare, shared, alone, lite = found.values()
    return [
        *_added(SHARED, shared, bare, 0.6, 2),
        *_added(ALONE, alone, bare, 0.15),
        Figure("Redis: round trips that a request waits for", [own.waited], target=1.01),
        Figure("Redis: commands a request", [own.commands], "", [rivals.commands], litellm.NAME),
        Figure(
            "PostgreSQL: transactions a request",
            *([own.transactions], "", [rivals.transactions], litellm.NAME),
        ),
        *(
            Figure(
                f"{name}: requests a second and core",
                *(own.a_core, "/s", lite.a_core, litellm.NAME),
                target=20,
                at_least=True,
            )
            for name, own in ((SHARED, shared), (ALONE, alone))
        ),
        Figure(
            f"{litellm.NAME}: one connection, median",
            *(lite.waits, "ms", bare.waits, "ours without layers"),
            by="difference",
        ),
        *(
            Figure(f"{name}: 16 connections", [x.rate for x in seen.busy], "requests/s")
            for name, seen in found.items()
        ),
    ]


def _added(
    name: str, own: proxy.Rounds, bare: proxy.Rounds, median: float, p99: float | None = None
) -> list[Figure]:
    without = "without layers"
    return [
        Figure(f"{name}: {what}", mine, "ms", others, without, "difference", target)
        for what, mine, others, target in (
            ("one connection, median", own.waits, bare.waits, median),
            ("one connection, p99", own.longest, bare.longest, p99),
            ("CPU a request", own.costs, bare.costs, None),
        )
    ]


class _Calls(NamedTuple):
    """A request, on one connection. waited: Redis' commands before the answer."""

    waited: float
    commands: float
    transactions: float


async def _calls(
    server: Server, redis: Redis, postgres: Postgres, database: str, body: Path
) -> _Calls:
    before = postgres.transactions(database)
    async with monitor.watched(redis.url) as asked:
        requests = (await load.whole(server, 1, _COUNTED, body)).requests
    await asyncio.sleep(_TOLD)
    transactions = postgres.transactions(database) - before
    waited = asked.total() - sum(asked[name] for name in (*monitor.BESIDES, *_LATER))
    return _Calls(*(n / requests for n in (waited, asked.total(), transactions)))


async def _shared(behind: int, folder: Path, redis: str, database: str) -> Command:
    parts = {"redis": {"url": {"variable": "REDIS_URL"}}}
    parts |= {"database": {"url": {"variable": "DATABASE_URL"}}}
    command = proxy.ours(behind, folder / "shared.yaml", **_LAYERS, **parts)
    return await _keyed(command, SHARED, {"REDIS_URL": redis, "DATABASE_URL": database})


async def _alone(behind: int, folder: Path) -> Command:
    parts = {"database": {"sqlite": str(folder / "store.db")}}
    return await _keyed(proxy.ours(behind, folder / "alone.yaml", **_LAYERS, **parts), ALONE, {})


async def _keyed(command: Command, name: str, environment: dict[str, str]) -> Command:
    """By that name, with a user's key of its database."""
    environment |= {"KEY_PEPPER": secrets.token_hex(24)}
    admin = (proxy.PROGRAM, "admin", *command.words[2:], "--json")
    await _told(admin, environment, "users", "add", "alice")
    made = json.loads(await _told(admin, environment, "keys", "add", "alice"))
    return replace(command, name=name, environment=environment, key=made["key"])


async def _told(admin: tuple[str, ...], environment: dict[str, str], *words: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *(*admin, *words),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaint = await process.communicate()
    if process.returncode:
        raise ServerError(f"admin {' '.join(words)}: {complaint.decode()}")
    return said
