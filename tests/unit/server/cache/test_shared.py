"""Answers that replicas share in a real Redis, whether it serves, stalls or is gone."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from llmservice_server.config import AuthConfig, CacheConfig, LimitsConfig, Place, Plan, Rates
from llmservice_server.config.redis import RedisConfig
from llmservice_server.gateway.answers import patience
from llmservice_server.gateway.answers.recorded import Recorded, unpacked
from llmservice_server.gateway.cache import metrics
from llmservice_server.gateway.cache.shared import SharedAnswers
from llmservice_server.gateway.toll import redis as counters
from llmservice_server.gateway.toll.wire import Wire

from dev.redis import Redis
from tests.unit.server.cache.engine import World, body_of, number, status_of
from tests.unit.server.redis_words import say
from tests.unit.server.small_engine import until

_LIMITED = Plan(name="p", per_key=Rates(requests_per_minute=1000, tokens_per_minute=100_000))


class _Worlds:
    """Replicas; their answers come to Redis before the next request does."""

    def __init__(self) -> None:
        self.made: list[World] = []

    def __call__(self, **parts: Any) -> World:
        redis = RedisConfig(url=Place(variable="TEST_REDIS"))
        self.made.append(World(redis=redis, **parts))
        return self.made[-1]

    async def close(self) -> None:
        for world in self.made:
            await world.close()


@pytest.fixture
async def worlds(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[_Worlds]:
    monkeypatch.setenv("TEST_REDIS", redis.url)
    for module in (patience, counters):  # a busy machine is no Redis that stalls
        monkeypatch.setattr(module, "SECONDS", 5.0)
    made = _Worlds()
    yield made
    await made.close()


async def _kept(redis: Redis, number_: int) -> None:
    async with asyncio.timeout(10):
        while len(await say(redis, "KEYS", "*cache:*")) != number_:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_one_replica_answered_another_finds(
    worlds: _Worlds, redis: Redis, *, stream: bool
) -> None:
    one, two = worlds(), worlds()
    first = await one.ask(stream=stream)
    await _kept(redis, 1)
    again = await two.ask(stream=stream)
    assert (status_of(again), body_of(again)) == ("hit", body_of(first))
    assert again.headers["content-type"] == first.headers["content-type"]
    assert (one.engine.asked, two.engine.asked) == (1, 0)
    assert number(await two.ask(user="bob", stream=stream)) == 1  # the other engine's own first
    key, *_ = await say(redis, "KEYS", "*cache:*")
    assert key.startswith(b"{llmservice}:cache:")
    assert 0 < await say(redis, "PTTL", key) <= 60_000


async def test_a_hit_takes_the_round_trip_of_the_limits_and_no_other(
    worlds: _Worlds, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = worlds(auth=AuthConfig(anonymous=True))
    await world.ask(plan=_LIMITED)
    await _kept(redis, 1)
    said: list[tuple[object, ...]] = []
    whole = Wire.call

    async def call(self: Wire, *words: Any) -> Any:
        said.append(words)
        return await whole(self, *words)

    monkeypatch.setattr(Wire, "call", call)
    monkeypatch.setattr(counters.RedisCounters, "settle", lambda *_: None)  # which nobody waits for
    for expected in range(1, 4):
        again = await world.ask(plan=_LIMITED)
        assert (status_of(again), number(again)) == ("hit", 1)
        assert [words[0] for words in said] == ["EVALSHA"] * expected
    # Without a limit there is none to go with.
    assert status_of(await world.ask(plan=Plan(name="q"))) == "hit"
    assert said[-1][0] == "GET"
    assert len(said) == 4


@pytest.mark.parametrize("limited", [False, True])
async def test_without_redis_everything_is_as_without_a_cache(
    worlds: _Worlds, redis: Redis, *, limited: bool
) -> None:
    plan = _LIMITED if limited else Plan(name="p")
    world = worlds(auth=AuthConfig(anonymous=True))
    await world.ask(plan=plan)
    await _kept(redis, 1)
    redis.kill()
    answers = [await world.ask(plan=plan) for _ in range(5)]
    assert [(one.status, number(one), status_of(one)) for one in answers] == [
        (200, n, "fwd=miss") for n in range(2, 7)
    ]
    redis.start()

    async def found() -> bool:
        return status_of(await world.ask(plan=plan)) == "hit"

    async with asyncio.timeout(20):
        while not await found():
            await asyncio.sleep(0.05)


async def test_closed_limits_are_no_reason_to_refuse_what_has_none(
    worlds: _Worlds, redis: Redis
) -> None:
    world = worlds(
        auth=AuthConfig(anonymous=True), limits=LimitsConfig(when_redis_is_down="closed")
    )
    redis.kill()
    assert (await world.ask(plan=Plan(name="p"))).status == 200
    assert (await world.ask(plan=_LIMITED)).status == 503


async def test_a_redis_that_stalls_holds_up_three_requests(
    worlds: _Worlds, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SECONDS", 0.1)
    monkeypatch.setattr(patience, "_PAUSE", 3600.0)
    world = worlds()
    await world.ask()
    await _kept(redis, 1)
    redis.stall()
    try:
        took: list[float] = []
        for _ in range(30):
            began = time.monotonic()
            assert status_of(await world.ask(temperature=0, user=f"u{len(took)}")) == "fwd=miss"
            took.append(time.monotonic() - began)
        assert sum(seconds >= 0.095 for seconds in took) <= 3
    finally:
        redis.go_on()


async def test_what_is_no_answer_of_this_version_is_not_found(
    worlds: _Worlds, redis: Redis
) -> None:
    world = worlds()
    await world.ask()
    await _kept(redis, 1)
    (key,) = await say(redis, "KEYS", "*cache:*")
    packed: bytes = await say(redis, "GET", key)
    assert unpacked(packed)
    for wrong in (b"", b"x", packed[:-1], packed + b"x", b"[2" + packed[2:], b"[]\n", b"{}\n{}"):
        assert unpacked(wrong) is None
        await say(redis, "SET", key, wrong)
        asked = world.engine.asked
        assert status_of(await world.ask()) == "fwd=miss"
        assert world.engine.asked == asked + 1
    await say(redis, "DEL", key)
    await say(redis, "LPUSH", key, "a list")
    assert (await world.ask()).status == 200


async def test_a_redis_without_room_keeps_nothing_and_that_is_counted(
    worlds: _Worlds, redis: Redis
) -> None:
    world = worlds()
    await say(redis, "CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "noeviction")
    before = metrics.lost._value.get()  # noqa: SLF001
    assert number(await world.ask()) == 1
    await until(lambda: metrics.lost._value.get() > before)  # noqa: SLF001
    assert number(await world.ask()) == 2


async def test_what_is_on_its_way_to_redis_is_bounded() -> None:
    class _Never:
        async def call(self, *_: object) -> Any:
            await asyncio.Event().wait()

        def close(self) -> None: ...

    never: Any = _Never()
    before = metrics.lost._value.get()  # noqa: SLF001
    many = SharedAnswers(never, 60)
    for number_ in range(300):
        many.keep(str(number_), Recorded(200, (), b"x", 0))
    assert metrics.lost._value.get() - before == 300 - 256  # noqa: SLF001
    large = SharedAnswers(never, 60)
    for number_ in range(30):
        large.keep(str(number_), Recorded(200, (), b"x" * 2**20, 0))
    assert metrics.lost._value.get() - before == 300 - 256 + 30 - 15  # noqa: SLF001
    for task in [*many._storing, *large._storing]:  # noqa: SLF001
        task.cancel()


async def test_no_answer_is_larger_than_one_may_be(worlds: _Worlds, redis: Redis) -> None:
    world = worlds(cache=CacheConfig(max_entry_bytes=1000))
    await world.ask(pad=2000)
    await world.ask(pad=10)
    await _kept(redis, 1)
