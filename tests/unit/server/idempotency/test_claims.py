"""Claims of replicas in memory and in a real Redis: one runs, whoever races, dies or comes late."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llmservice_server.config import IdempotencyConfig, LimitsConfig, Place
from llmservice_server.config.redis import RedisConfig, address_of
from llmservice_server.gateway.answers import patience
from llmservice_server.gateway.answers.patience import Patience
from llmservice_server.gateway.answers.recorded import Recorded
from llmservice_server.gateway.idempotency import shared
from llmservice_server.gateway.idempotency.claims import Claim, Claims, Held
from llmservice_server.gateway.idempotency.own import OwnClaims
from llmservice_server.gateway.idempotency.shared import SharedClaims
from llmservice_server.gateway.toll.wire import Wire

from dev.redis import Redis
from tests.length import lasting
from tests.unit.server.cache.engine import number
from tests.unit.server.idempotency.world import World, replayed
from tests.unit.server.redis_words import say
from tests.unit.server.small_engine import until

_CONFIG = IdempotencyConfig()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no Redis that stalls."""
    monkeypatch.setattr(patience, "SECONDS", 5.0)


def _shared(url: str, prefix: str = "test", *, open_: bool = True) -> SharedClaims:
    redis = Patience(Wire(address_of(url), 5))
    return SharedClaims(redis, prefix, 86_400, OwnClaims(_CONFIG), open_=open_)


def _claim(name: str = "n", asked: str = "a") -> Claim:
    return Claim(name, asked, uuid4().hex)


def _answer(text: str = "{}") -> Recorded:
    return Recorded(200, ((b"content-type", b"application/json"),), text.encode(), 1)


class _Model:
    """What must hold, step by step, for claims of several replicas that are one."""

    def __init__(self, replicas: list[Claims]) -> None:
        self.replicas = replicas
        self.running: dict[str, tuple[Claims, Claim]] = {}
        self.answered: dict[str, tuple[str, Recorded]] = {}
        self.ran = 0

    async def come(self, replica: Claims, name: str, asked: str) -> None:
        claim = _claim(name, asked)
        held = await replica.claim(claim)
        if name in self.running:
            assert held == Held(self.running[name][1].asked, None)
        elif name in self.answered:
            assert held == Held(*self.answered[name])
        else:
            assert held is None
            self.running[name] = (replica, claim)

    async def keep(self, _: Claims, name: str, __: str) -> None:
        if name in self.running:
            replica, claim = self.running.pop(name)
            self.ran += 1
            self.answered[name] = (claim.asked, _answer(str(self.ran)))
            await replica.keep(claim, self.answered[name][1])

    async def release(self, _: Claims, name: str, __: str) -> None:
        if name in self.running:
            replica, claim = self.running.pop(name)
            await replica.release(claim)
            await replica.release(claim)  # as who gives up in any case may

    async def meddle(self, replica: Claims, name: str, asked: str) -> None:
        """Who has no claim changes none."""
        await replica.release(_claim(name, asked))


_DOES = (_Model.come, _Model.come, _Model.come, _Model.keep, _Model.release, _Model.meddle)
_steps = st.lists(
    st.tuples(
        st.sampled_from(_DOES), st.integers(0, 1), st.sampled_from("mn"), st.sampled_from("ab")
    ),
    max_size=25,
)
_Steps = list[tuple[Callable[..., Any], int, str, str]]


async def _live(replicas: list[Claims], steps: _Steps) -> None:
    model = _Model(replicas)
    try:
        for does, which, name, asked in steps:
            await does(model, replicas[which % len(replicas)], name, asked)
    finally:
        for replica in replicas:
            await replica.close()


@given(_steps)
async def test_one_replica_runs_each_request_once(steps: _Steps) -> None:
    await _live([OwnClaims(_CONFIG)], steps)


@settings(
    max_examples=lasting(60, 1000),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(_steps)
def test_two_replicas_run_each_request_once(redis: Redis, steps: _Steps) -> None:
    async def live() -> None:
        prefix = uuid4().hex
        await _live([_shared(redis.url, prefix) for _ in range(2)], steps)

    asyncio.run(live())


async def test_without_redis_between_them_two_replicas_run_it_twice() -> None:
    """That the assertions above can fail."""
    steps: _Steps = [(_Model.come, 0, "m", "a"), (_Model.come, 1, "m", "a")]
    with pytest.raises(AssertionError):
        await _live([OwnClaims(_CONFIG), OwnClaims(_CONFIG)], steps)


@pytest.fixture
async def replicas(redis: Redis) -> AsyncIterator[list[SharedClaims]]:
    made = [_shared(redis.url) for _ in range(4)]
    yield made
    for one in made:
        await one.close()


async def test_of_replicas_that_race_one_runs(replicas: list[SharedClaims]) -> None:
    for name in map(str, range(50)):
        tries = [(replica, _claim(name)) for replica in replicas for _ in range(3)]
        held = await asyncio.gather(*(replica.claim(claim) for replica, claim in tries))
        assert held.count(None) == 1
        replica, claim = tries[held.index(None)]
        await replica.keep(claim, _answer(name))
        again = await asyncio.gather(*(replica.claim(_claim(name)) for replica in replicas))
        assert again == [Held("a", _answer(name))] * 4


async def test_an_answer_is_kept_by_redis_for_its_time(
    replicas: list[SharedClaims], redis: Redis
) -> None:
    claim = _claim()
    assert await replicas[0].claim(claim) is None
    (key,) = await say(redis, "KEYS", "*")
    assert 0 < await say(redis, "PTTL", key) <= 60_000
    await replicas[0].keep(claim, _answer())
    assert 86_000_000 < await say(redis, "PTTL", key) <= 86_400_000
    assert b"sk-" not in key


async def test_the_claim_of_a_replica_that_was_killed_is_free_when_its_lease_has_ended(
    replicas: list[SharedClaims], redis: Redis
) -> None:
    program = (
        "import asyncio, sys\n"
        "from tests.unit.server.idempotency.test_claims import _claim, _shared\n"
        "async def run():\n"
        "    claims = _shared(sys.argv[1])\n"
        "    assert await claims.claim(_claim()) is None\n"
        "    print('claimed', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(run())\n"
    )
    replica = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", program, redis.url], stdout=subprocess.PIPE, text=True
    )
    try:
        assert replica.stdout
        assert await asyncio.to_thread(replica.stdout.readline) == "claimed\n"
        assert await replicas[0].claim(_claim()) == Held("a", None)
    finally:
        replica.send_signal(signal.SIGKILL)
        replica.communicate()
    (key,) = await say(redis, "KEYS", "*")
    left = await say(redis, "PTTL", key)
    assert 0 < left <= shared.LEASE * 1000
    assert await replicas[0].claim(_claim()) == Held("a", None)
    await say(redis, "PEXPIRE", key, 1)  # the minute has passed
    await asyncio.sleep(0.01)
    assert await replicas[0].claim(_claim()) is None


async def test_what_runs_for_long_stays_claimed_and_one_that_lost_its_claim_overwrites_nothing(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "LEASE", 1.5)
    one, two = _shared(redis.url), _shared(redis.url)
    claim = _claim()
    assert await one.claim(claim) is None
    began = time.monotonic()
    while time.monotonic() - began < 3:  # two leases long
        assert await two.claim(_claim()) == Held("a", None)
        await asyncio.sleep(0.1)
    (key,) = await say(redis, "KEYS", "*")
    await say(redis, "DEL", key)  # as by a Redis that lost it
    other = _claim(asked="b")
    assert await two.claim(other) is None
    await one.keep(claim, _answer("one"))
    await two.keep(other, _answer("two"))
    third = _shared(redis.url)
    assert await third.claim(_claim(asked="b")) == Held("b", _answer("two"))
    for claims in (one, two, third):
        await claims.close()


@pytest.fixture
async def worlds(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., World]]:
    monkeypatch.setenv("TEST_REDIS", redis.url)
    made: list[World] = []

    def make(**parts: Any) -> World:
        made.append(World(redis=RedisConfig(url=Place(variable="TEST_REDIS")), **parts))
        return made[-1]

    yield make
    for world in made:
        await world.close()


async def test_two_servers_answer_as_one(worlds: Callable[..., World]) -> None:
    one, two = worlds(), worlds()
    first = await one.ask(a=1)
    again, other = await two.ask(a=1), await two.ask(a=2)
    assert (number(again), replayed(again), other.status) == (number(first), True, 422)
    one.engine.go_on.clear()
    runs = asyncio.create_task(one.ask("another"))
    await until(lambda: one.engine.running == 1)
    assert (await two.ask("another")).status == 409
    one.engine.go_on.set()
    assert (await runs).status == 200
    assert replayed(await two.ask("another"))


async def test_without_redis_each_replica_counts_alone(
    worlds: Callable[..., World], redis: Redis
) -> None:
    one, two = worlds(), worlds()
    await one.ask("before")
    redis.kill()
    assert number(await one.ask("k")) == 2
    assert replayed(await one.ask("k"))
    assert (await one.ask("k", a=2)).status == 422
    assert not replayed(await two.ask("k"))  # which knows nothing of the other
    redis.start()
    assert replayed(await one.ask("k"))

    async def together() -> bool:
        key = uuid4().hex
        await one.ask(key)
        return replayed(await two.ask(key))

    async with asyncio.timeout(20):
        while not await together():
            await asyncio.sleep(0.05)


async def test_where_nobody_passes_without_redis_it_is_503(
    worlds: Callable[..., World], redis: Redis
) -> None:
    world = worlds(limits=LimitsConfig(when_redis_is_down="closed"))
    redis.kill()
    answer = await world.ask()
    assert (answer.status, answer.error["type"]) == (503, "service_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert (await world.send(world.prepared(stream=True))).status == 200
    redis.start()
    async with asyncio.timeout(20):
        while (await world.ask()).status != 200:
            await asyncio.sleep(0.05)


async def test_a_redis_that_stalls_holds_up_few_requests(
    worlds: Callable[..., World], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SECONDS", 0.1)
    monkeypatch.setattr(patience, "_PAUSE", 3600.0)
    world = worlds()
    await world.ask("before")
    redis.stall()
    try:
        took: list[float] = []
        for key in map(str, range(30)):
            began = time.monotonic()
            assert (await world.ask(key)).status == 200
            took.append(time.monotonic() - began)
        # Each asks twice, before it runs and after it.
        assert sum(seconds >= 0.095 for seconds in took) <= 3
    finally:
        redis.go_on()


async def test_what_cannot_be_read_in_redis_is_as_if_it_were_not_there(
    worlds: Callable[..., World], redis: Redis
) -> None:
    world = worlds()
    await world.ask()
    (key,) = await say(redis, "KEYS", "*idempotency*")
    for wrong in (b"", b"x", b"answered", b"answered a\n", b"answered a\n[1]\n", b"\xff\xfe"):
        await say(redis, "SET", key, wrong)
        assert (await worlds().ask()).status == 200
