"""The cache as a client meets it: what is found, what is asked for anew, and who waits for whom."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from llmservice_server.config import CacheConfig, LimitsConfig, Plan, Rates
from llmservice_server.gateway.answers import shelf
from llmservice_server.gateway.answers.given import By, answered_by
from llmservice_server.gateway.cache import asked, metrics
from llmservice_server.gateway.cache.layer import cache
from llmservice_server.gateway.usage import Usage

from tests.unit.server.cache.engine import Engine, World, body_of, number, status_of
from tests.unit.server.layer import Exchange, context
from tests.unit.server.small_engine import until


@pytest.fixture
def world() -> World:
    return World()


async def test_who_asks_again_gets_the_answer_that_there_was(world: World) -> None:
    first, again = await world.ask(pad=9), await world.ask(pad=9)
    assert world.engine.asked == 1
    assert [status_of(one) for one in (first, again)] == ["fwd=miss", "hit"]
    assert body_of(again) == body_of(first)
    for name in ("content-type", "content-length"):
        assert again.headers[name] == first.headers[name]
    assert int(again.headers["age"]) <= 1
    assert "age" not in first.headers
    assert number(await world.ask(pad=10)) == 2
    assert number(await world.ask(user="bob", pad=9)) == 3  # and nobody else gets it
    assert number(await world.ask(user=None, pad=9)) == 4


async def test_without_the_tenant_in_the_key_answers_would_leak(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the assertion above can fail."""
    monkeypatch.setattr(asked, "tenant_of", lambda _: "everybody")
    await world.ask()
    assert number(await world.ask(user="bob")) == 1


async def test_a_hit_takes_no_tokens_and_is_seen_as_one(world: World) -> None:
    for _ in range(2):
        await world.ask()
    ran, found = world.seen
    assert (ran.usage, answered_by(ran.scope)) == (Usage(3, 5), None)
    assert (found.usage, answered_by(found.scope)) == (Usage(0, 0), By.CACHE)


@contextmanager
def _counted(**expected: int) -> Iterator[None]:
    def counts() -> dict[str, float]:
        samples = metrics.asked.collect()[0].samples
        return {s.labels["result"]: s.value for s in samples if s.name.endswith("_total")}

    before = counts()
    yield
    assert {
        name: value - before.get(name, 0)
        for name, value in counts().items()
        if value != before.get(name, 0)
    } == expected


async def test_what_a_client_says_of_caches_is_done(world: World) -> None:
    def saying(control: str) -> Exchange:
        return world.prepared(headers={"cache-control": control})

    with _counted(miss=1, hit=2, refresh=1, bypass=2):
        assert number(await world.ask()) == 1
        refreshed = await world.send(saying("no-cache"))
        assert (number(refreshed), status_of(refreshed)) == (2, "fwd=request")
        assert number(await world.ask()) == 2  # it was stored anew
        passed = await world.send(saying("no-store"))
        assert (number(passed), status_of(passed)) == (3, "fwd=bypass")
        assert number(await world.ask()) == 2
        assert status_of(await world.ask(temperature=1)) == "fwd=bypass"


async def test_a_plan_says_which_answers_may_come_from_it(world: World) -> None:
    always, never = Plan(name="a", cache="always"), Plan(name="n", cache="never")
    assert [number(await world.ask(plan=always, temperature=1)) for _ in range(2)] == [1, 1]
    assert [number(await world.ask(plan=never)) for _ in range(2)] == [2, 3]
    assert [number(await world.ask(temperature=1)) for _ in range(2)] == [4, 5]


async def test_a_stream_is_given_again_as_a_stream(world: World) -> None:
    first, again = await world.ask(stream=True), await world.ask(stream=True)
    assert (status_of(again), body_of(again)) == ("hit", body_of(first))
    assert again.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-length" not in again.headers
    assert number(await world.ask()) == 2  # in the other form it is another answer
    assert world.seen[1].streaming
    assert world.seen[1].complete


async def test_a_long_stream_comes_in_pieces_of_whole_events_as_fast_as_it_is_read(
    world: World,
) -> None:
    world.engine.pieces.insert(1, (b"data: " + b"x" * 994 + b"\n\n") * 200)
    first = await world.ask(stream=True)
    again, given = world.prepared(stream=True), asyncio.Semaphore(0)

    async def slowly(message: Any) -> None:
        await given.acquire()
        again.sent.append(message)

    again.send = slowly  # type: ignore[method-assign]
    asking = asyncio.create_task(world.send(again))
    for read in range(5):
        await asyncio.sleep(0.005)
        assert len(again.sent) == read  # nothing is sent ahead of who reads
        given.release()
    for _ in range(50):
        given.release()
    await asking
    pieces = [message["body"] for message in again.sent[1:-1]]
    assert len(pieces) > 10
    assert all(piece.endswith(b"\n\n") for piece in pieces)
    assert body_of(again) == body_of(first)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"data: {}\n\n"],
        [b'data: {"error": {"message": "out of memory"}}\n\n', b"data: [DONE]\n\n"],
        [b'event: error\ndata: {"type":"error"}\n\n', b"data: [DONE]\n\n"],
        [b"data: {}\n\n", b"data: [DONE", b""],
    ],
)
async def test_a_stream_that_is_not_whole_or_failed_is_not_kept(
    world: World, pieces: list[bytes]
) -> None:
    world.engine.pieces = [*pieces[:-1], pieces[-1]]
    for _ in range(2):
        await world.ask(stream=True)
    assert world.engine.asked == 2


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_what_was_refused_or_failed_is_not_kept(world: World, status: int) -> None:
    world.engine.status = status
    assert [(await world.ask()).status for _ in range(2)] == [status] * 2
    world.engine.status = 200
    assert number(await world.ask()) == 3


async def test_a_failure_that_calls_itself_200_is_not_kept() -> None:
    world = World()
    world.engine.headers = [(b"content-encoding", b"gzip")]
    for _ in range(2):
        await world.ask()
    assert world.engine.asked == 2


async def test_an_answer_lives_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(shelf, "monotonic", lambda: now)
    world = World(cache=CacheConfig(ttl_seconds=60))
    await world.ask()
    now += 59.9
    assert number(await world.ask()) == 1
    now += 0.1
    assert number(await world.ask()) == 2


async def test_it_holds_so_many_answers_and_bytes_and_none_that_is_too_large() -> None:
    world = World(cache=CacheConfig(max_entries=2))
    for pad in (1, 2, 3):
        await world.ask(pad=pad)
    assert [status_of(await world.ask(pad=pad)) for pad in (2, 3)] == ["hit", "hit"]
    assert status_of(await world.ask(pad=1)) == "fwd=miss"
    small = World(cache=CacheConfig(max_bytes=3000, max_entry_bytes=1500))
    for pad in (1000, 1001, 1600):
        await small.ask(pad=pad)
    assert [status_of(await small.ask(pad=pad)) for pad in (1001, 1600, 1000)] == [
        *("hit", "fwd=miss", "fwd=miss"),
    ]
    assert metrics.size.collect()[0].samples[0].value <= 3000


async def test_all_that_is_being_kept_at_once_has_one_bound() -> None:
    world = World(cache=CacheConfig(max_bytes=5000, max_entry_bytes=4000))
    world.engine.pieces = [b"data: %d\n\n", b"x" * 3000, b"data: [DONE]\n\n"]
    reading = asyncio.Event()

    async def slowly(exchange: Exchange) -> Exchange:
        async def send(message: Any) -> None:
            exchange.sent.append(message)
            if b"x" in message.get("body", b""):
                await reading.wait()

        exchange.send = send  # type: ignore[method-assign]
        return await world.send(exchange)

    exchanges = [world.prepared(stream=True, pad=pad) for pad in range(2)]
    asking = [asyncio.create_task(slowly(exchange)) for exchange in exchanges]
    await until(lambda: all(len(exchange.sent) > 2 for exchange in exchanges))
    reading.set()
    await asyncio.gather(*asking)
    again = [await world.ask(stream=True, pad=pad) for pad in range(2)]
    assert [status_of(one) for one in again] == ["hit", "fwd=miss"]
    assert [len(body_of(one)) for one in again] == [3023] * 2


async def _many(world: World, number_: int, **body: Any) -> list[asyncio.Task[Exchange]]:
    """So many that ask the same at the same time, one of whom runs."""
    asking = [asyncio.create_task(world.ask(**body)) for _ in range(number_)]
    await until(lambda: world.engine.running == 1)
    await asyncio.sleep(0.01)
    return asking


@pytest.mark.parametrize("stream", [False, True])
async def test_of_those_who_ask_the_same_at_once_one_runs(world: World, *, stream: bool) -> None:
    world.engine.go_on.clear()
    with _counted(miss=1, collapsed=7):
        asking = await _many(world, 8, stream=stream)
        assert world.engine.asked == 1
        world.engine.go_on.set()
        answers = await asyncio.gather(*asking)
    assert {number(one) for one in answers} == {1}
    waited = [one for one in world.seen if answered_by(one.scope) is By.FLIGHT]
    assert [one.usage for one in waited] == [Usage(0, 0)] * 7
    assert "collapsed" in answers[-1].headers["cache-status"]


async def test_where_the_one_that_runs_leaves_the_next_one_runs(world: World) -> None:
    world.engine.go_on.clear()
    leader = world.prepared()
    asking = [asyncio.create_task(world.send(leader)), *(await _many(world, 3))]
    leader.gone.set()
    await asking[0]
    await until(lambda: world.engine.asked == 2)
    assert not any(task.done() for task in asking[1:])
    world.engine.go_on.set()
    assert {number(await task) for task in asking[1:]} == {2}
    assert number(await world.ask()) == 2


async def test_where_the_one_that_runs_fails_the_next_one_runs(world: World) -> None:
    world.engine.go_on.clear()
    world.engine.status = 500
    asking = await _many(world, 3)
    world.engine.go_on.set()
    answers = await asyncio.gather(*asking)
    assert [one.status for one in answers] == [500] * 3
    assert world.engine.asked == 3


async def test_who_waits_may_leave(world: World) -> None:
    world.engine.go_on.clear()
    asking = await _many(world, 1)
    waits = world.prepared()
    asking.append(asyncio.create_task(world.send(waits)))
    asking += [asyncio.create_task(world.ask())]
    await asyncio.sleep(0.01)
    waits.gone.set()
    await asking[1]
    assert waits.status == 499
    world.engine.go_on.set()
    assert number(await asking[2]) == 1
    assert world.seen[0].usage == Usage(0, 0)


async def test_nobody_waits_longer_than_for_a_turn() -> None:
    world = World(limits=LimitsConfig(wait_seconds=0))
    world.engine.go_on.clear()
    asking = [asyncio.create_task(world.ask()) for _ in range(3)]
    await until(lambda: world.engine.running == 3)
    world.engine.go_on.set()
    assert sorted([number(await task) for task in asking]) == [1, 2, 3]


async def test_no_more_wait_than_may() -> None:
    world = World(limits=LimitsConfig(waiting=1))
    world.engine.go_on.clear()
    asking = [asyncio.create_task(world.ask()) for _ in range(4)]
    await until(lambda: world.engine.running == 3)
    world.engine.go_on.set()
    assert sorted([number(await task) for task in asking]) == [1, 1, 2, 3]


async def test_nobody_waits_for_an_answer_that_is_too_large_to_be_kept() -> None:
    world = World(cache=CacheConfig(max_entry_bytes=100))
    world.engine.pieces = [b"data: %d\n\n", b"x" * 200, b"data: [DONE]\n\n"]
    asking = [world.prepared(stream=True) for _ in range(3)]
    reading = asyncio.Event()

    async def slowly(message: Any) -> None:
        asking[0].sent.append(message)
        if b"x" in message.get("body", b""):
            await reading.wait()

    asking[0].send = slowly  # type: ignore[method-assign]
    tasks = [asyncio.create_task(world.send(one)) for one in asking]
    await asyncio.gather(*tasks[1:])  # while the first is still being read
    assert world.engine.asked == 3
    reading.set()
    await tasks[0]


async def test_an_engine_that_raises_lets_the_next_one_run(world: World) -> None:
    async def raising(*_: object) -> None:
        await asyncio.sleep(0.01)
        raise RuntimeError("a fault in the engine's own code")

    broken = cache(raising, context(cache=CacheConfig()))
    asking = [world.prepared() for _ in range(3)]
    for one in asking:
        one.scope.setdefault("state", {})["document"] = {"temperature": 0}
    done = await asyncio.gather(*(one.through(broken) for one in asking), return_exceptions=True)
    assert [type(one) for one in done] == [RuntimeError] * 3


async def test_a_hit_is_a_request_of_the_limits_and_no_tokens() -> None:
    rates = Rates(requests_per_minute=3, tokens_per_minute=100)
    world = World(auth={"anonymous": True})
    plan = Plan(name="p", per_key=rates)
    answers = [await world.ask(plan=plan, max_tokens=50) for _ in range(4)]
    assert [one.status for one in answers] == [200, 200, 200, 429]
    assert [status_of(one) for one in answers[:3]] == ["fwd=miss", "hit", "hit"]
    left = [int(one.headers["x-ratelimit-remaining-requests"]) for one in answers]
    assert left == [2, 1, 0, 0]


def test_without_redis_nothing_of_redis_is_imported() -> None:
    code = (
        "import sys\n"
        "from llmservice_server.config import CacheConfig, IdempotencyConfig\n"
        "from llmservice_server.gateway import Gateway\n"
        "from tests.unit.server.layer import context\n"
        "kept = context(cache=CacheConfig(), idempotency=IdempotencyConfig())\n"
        "Gateway(kept.engine, kept)\n"
        "print(*sys.modules)\n"
    )
    ran = [sys.executable, "-c", code]
    loaded = subprocess.run(ran, capture_output=True, text=True, check=True, timeout=60).stdout
    assert {"hiredis", "redis", "sqlalchemy"}.isdisjoint(loaded.split())


async def test_where_no_cache_is_configured_there_is_no_layer() -> None:
    engine = Engine()
    assert cache(engine, context()) is engine
    world = World(cache=None)
    for _ in range(2):
        assert "cache-status" not in (await world.ask()).headers
    assert world.engine.asked == 2


async def test_a_body_that_is_no_object_is_the_engines_to_refuse(world: World) -> None:
    exchange = Exchange(json.dumps([1]).encode(), path="/v1/embeddings")
    with pytest.raises(AttributeError):
        await world.send(exchange)
    assert world.engine.asked == 1
