"""Three servers under load while they, and what they count in, are killed at random: what is billed
is what clients saw, within what is promised, and no quota is overspent.

A short one always, the whole one in full runs.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.proc import mebibytes
from dev.postgres import Postgres
from dev.redis import Redis
from tests.cluster.gateway.callers import Servers, until
from tests.cluster.gateway.leaks import leaks
from tests.cluster.gateway.replicas import Replicas, engine
from tests.cluster.gateway.soak import (
    LOST,
    Asked,
    Death,
    Seen,
    Used,
    findings,
    load,
)
from tests.length import lasting

_REQUESTS = lasting(3_000, 200_000)
_DEATHS = lasting(2, 20)
_USERS = [f"soaked{number}" for number in range(20)]
_QUOTAS = _USERS[:4]
"""Who may use so much a month and no more."""
_EVERYTHING = ("replica", "replica", "redis", "stall", "postgres")
_GROWTH = 24  # MiB
_SEED = 8


@dataclass(frozen=True)
class _Others:
    redis: Redis
    postgres: Postgres


@contextmanager
def _servers(
    folder: Path, quota: int, *, together: bool = True
) -> Iterator[tuple[Servers, _Others]]:
    """Three, and their Redis and PostgreSQL; not together: each counts in its memory."""
    pepper = secrets.token_hex(32)
    redis, postgres = Redis(), Postgres()
    with ExitStack() as stack:
        for server in (redis, postgres):
            stack.callback(server.close)
            server.start()
        url = stack.enter_context(engine())
        upstream = {"url": f"{url}/v1", "models": [{"name": "quick"}, {"name": "slow"}]}
        rates = {"tokensPerMinute": 10**9, "concurrentRequests": 1000}
        plans = [{"name": "minute", "perUser": rates}]
        plans.append({"name": "month", "perUser": rates, "monthlyTokens": quota})
        config: dict[str, Any] = {
            "engine": {"type": "proxy", "upstreams": [upstream]},
            "auth": {"stored": True, "pepper": {"variable": "PEPPER"}, "plans": plans},
            "limits": {"whenRedisIsDown": "closed"},
            "database": {"url": {"variable": "DATABASE_URL"}},
            "history": {},
            "cache": {"ttlSeconds": 1},
            "idempotency": {},
        }
        environment = {"PEPPER": pepper, "DATABASE_URL": postgres.make("soak")}
        if together:
            config["redis"] = {"url": {"variable": "REDIS_URL"}}
            environment["REDIS_URL"] = redis.url
        replicas = Replicas(folder, config, environment, 3)
        stack.callback(replicas.close)
        made = replicas.admin("bootstrap")
        replicas.start()
        hidden = [pepper, redis.password, made["key"]]
        yield (
            Servers(replicas, url, replicas.start, made["key"], hidden),
            _Others(redis, postgres),
        )


async def _keys(servers: Servers) -> dict[str, str]:
    made: dict[str, str] = {}
    async with servers.admin() as admin:
        for user in _USERS:
            plan = "month" if user in _QUOTAS else "minute"
            await admin.done("POST", "/admin/v1/users", {"name": user, "plan": plan})
            made[user] = (await admin.new_key(user))["key"]
    return made


class _Killer:
    """One fault after the other. The first server is spared: its memory is looked at."""

    def __init__(self, servers: Servers, others: _Others, seen: Seen) -> None:
        self._servers, self._replicas = servers, servers.replicas
        self._others, self._seen = others, seen
        self._chance = random.Random(_SEED)

    async def __call__(self, kinds: Sequence[str], stop: asyncio.Event) -> None:
        while not stop.is_set():
            await asyncio.sleep(self._chance.uniform(0.5, 2))
            self._seen.slowest = max(self._seen.slowest, await self._question())
            await getattr(self, self._chance.choice(kinds))()

    async def _question(self) -> float:
        """The seconds that one to the database takes."""
        async with self._servers.admin() as admin:
            began = time.monotonic()
            await admin("GET", "/admin/v1/months")
            return time.monotonic() - began

    async def replica(self) -> None:
        number = self._chance.choice([1, 2])
        self._replicas.kill(number)
        self._seen.deaths.append(Death(number, time.monotonic()))
        await self._pause(0.5)
        self._replicas.begin(number)
        await asyncio.to_thread(self._replicas.wait, number)

    async def redis(self) -> None:
        await asyncio.to_thread(self._others.redis.kill)
        self._seen.lost.append(time.monotonic())
        await self._pause()
        await asyncio.to_thread(self._others.redis.start)
        await self._served_again()

    async def stall(self) -> None:
        self._others.redis.stall()
        await self._pause()
        self._others.redis.go_on()
        await self._served_again()

    async def postgres(self) -> None:
        await asyncio.to_thread(self._others.postgres.kill)
        await self._pause()
        await asyncio.to_thread(self._others.postgres.start)
        await self._served_again()

    async def _pause(self, longest: float = 2) -> None:
        await asyncio.sleep(self._chance.uniform(0, longest))

    async def _served_again(self) -> None:
        """By all, and what was kept meanwhile is told."""
        await asyncio.sleep(2 * LOST + self._seen.slowest)


async def _soaked(
    servers: Servers, others: _Others, requests: int, kinds: Sequence[str]
) -> tuple[Seen, list[float]]:
    """What clients saw, and the MiB of the server that is spared, early and in the end."""
    keys, seen, stop = await _keys(servers), Seen(), asyncio.Event()
    ask = partial(load, seen, servers.replicas.urls, keys)
    await ask(requests // 4, seed=1)
    sizes = [_size(servers)]
    if kinds:
        killing = asyncio.create_task(_Killer(servers, others, seen)(kinds, stop))
        await ask(requests, seed=2)
        while not killing.done() and len(seen.deaths) < _DEATHS:
            await ask(seen.requests + 500, seed=seen.requests)
        stop.set()
        await killing
    else:
        await ask(requests, seed=2)
    return seen, [*sizes, _size(servers)]


def _size(servers: Servers) -> float:
    return mebibytes(Path(f"/proc/{servers.replicas.pid(0)}/status").read_text(), "VmRSS")


async def _bills(servers: Servers) -> list[dict[str, Used]]:
    """What was used, by user: as it is billed, and as the month's quota counts it."""
    async with servers.admin() as admin:
        usage = await admin.done("GET", "/admin/v1/usage?by=user")
        months = await admin.done("GET", "/admin/v1/months")
    return [
        {
            row["user"]: Used(row["requests"], row["inputTokens"] + row["outputTokens"])
            for row in usage
        },
        {row["user"]: Used(row["requests"], row["tokens"]) for row in months},
    ]


@pytest.mark.timeout(lasting(300, 3000))
@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(("replica",), id="servers"),
        pytest.param(_EVERYTHING, id="everything", marks=pytest.mark.full),
    ],
)
async def test_clients_are_billed_what_they_saw_and_no_quota_is_overspent(
    tmp_path: Path, kinds: Sequence[str]
) -> None:
    quota = _REQUESTS // 4
    with _servers(tmp_path, quota) as (servers, others):
        seen, (early, late) = await _soaked(servers, others, _REQUESTS, kinds)
        quotas = dict.fromkeys(_QUOTAS, quota)
        found: list[str] = []

        async def agreed() -> bool:  # once a second it is told
            found[:] = [
                line for bill in await _bills(servers) for line in findings(seen, bill, quotas)
            ]
            return not found

        with suppress(TimeoutError):
            await until(agreed, 30)
        assert found == []
        assert len(seen.deaths) >= _DEATHS
        assert seen.refusals["insufficient_quota"] > 0
        assert late < early + _GROWTH
        assert leaks(servers.replicas.logs, servers.secrets) == []


async def test_servers_that_count_alone_overspend_and_that_is_seen(tmp_path: Path) -> None:
    with _servers(tmp_path, 300, together=False) as (servers, others):
        seen, _ = await _soaked(servers, others, 1500, ())
        found = findings(seen, {}, dict.fromkeys(_QUOTAS, 300))
        overspent = {line.partition(" ")[0] for line in found if " overspent: " in line}
        assert overspent == {*_QUOTAS}


def test_a_bill_that_is_wrong_by_one_is_seen() -> None:
    one = Asked("ann", 0, began=10, ended=11, most=30, took=20)
    seen, right = Seen([one, one._replace(took=5)]), Used(2, 25)
    assert findings(seen, {"ann": right}, {"ann": 25}) == []
    for wrong in (Used(2, 24), Used(2, 26), Used(1, 25), Used(3, 25)):
        assert len(findings(seen, {"ann": wrong}, {})) == 1, wrong
    assert "ann overspent: 25 of 24 tokens" in findings(seen, {"ann": right}, {"ann": 24})
    early = findings(seen, {"ann": right}, {"ann": 56})
    assert early == ["ann was refused too early: 25 of 56 tokens"]
    assert findings(Seen(faults=["500: x"]), {}, {}) == ["500: x"]


def test_what_nobody_knows_is_between_nothing_and_all_that_was_reserved() -> None:
    known = Asked("ann", 0, began=1, ended=2, most=30, took=20)
    cut = known._replace(took=None)
    late = known._replace(replica=1, began=9, ended=10)
    seen = Seen([known, cut, late], deaths=[Death(1, 11.0)])
    for right in (Used(1, 20), Used(3, 80), Used(2, 50)):
        assert findings(seen, {"ann": right}, {}) == []
    for wrong in (Used(0, 20), Used(1, 19), Used(3, 81), Used(4, 80)):
        assert len(findings(seen, {"ann": wrong}, {})) == 1, wrong
    seen.deaths[:] = [Death(0, 11.0), Death(1, 10 + LOST)]  # long after, or another one's
    assert len(findings(seen, {"ann": Used(1, 20)}, {})) == 2


def test_what_was_in_flight_when_redis_lost_all_may_be_spent_once_more() -> None:
    asked = [Asked("ann", 0, at, at + 1, 30, 30) for at in range(4)]
    seen, bill = Seen(asked, lost=[LOST + 1]), {"ann": Used(4, 120)}
    assert findings(seen, bill, {"ann": 30}) == []  # three of them were, or just before
    assert findings(seen, bill, {"ann": 29}) == ["ann overspent: 120 of 29 tokens"]
