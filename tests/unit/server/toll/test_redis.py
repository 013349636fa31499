"""Counters that replicas share in a real Redis: exact, whoever races, dies or stalls."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Self

import httpx2
import pytest
from llmservice_server.config.redis import address_of
from llmservice_server.gateway.toll.counters import (
    LEASE,
    Counters,
    Seed,
    Spent,
    UnavailableError,
    Verdict,
    What,
)
from llmservice_server.gateway.toll.down import GuardedCounters
from llmservice_server.gateway.toll.memory import MemoryCounters
from llmservice_server.gateway.toll.metrics import redis_down
from llmservice_server.gateway.toll.redis import RedisCounters
from llmservice_server.gateway.toll.wire import RedisDownError

from dev.redis import Redis
from tests.length import lasting
from tests.unit.server.redis_words import say
from tests.unit.server.small_engine import until
from tests.unit.server.toll.replica import QUOTA
from tests.unit.server.toll.test_model import CLOCK
from tests.unit.server.toll.words import NOTHING, Memory, charge, order, passed, taken

_MONTH = 30 * 86_400_000
_TOGETHER = 0.2  # seconds within which all racers have heard when the race begins


class _Racer:
    def __init__(self, redis: Redis, what: What, *numbers: int, clock: str = "") -> None:
        words = [redis.url, what.value, *map(str, numbers), *([clock] if clock else [])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.server.toll.racer", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def hear(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def go(self, at: float = 0) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{at}\n")
        self.process.stdin.flush()


@contextmanager
def _racers(number: int, redis: Redis, what: What, *numbers: int) -> Iterator[list[_Racer]]:
    with ExitStack() as stack:
        racers = [stack.enter_context(_Racer(redis, what, *numbers)) for _ in range(number)]
        for racer in racers:
            assert racer.hear() == "ready"
        yield racers


@pytest.fixture
async def counters(redis: Redis) -> AsyncIterator[RedisCounters]:
    made = RedisCounters(address_of(redis.url), "test")
    yield made
    await made.close()


def _guarded(redis: Redis, *, alone: bool = True) -> GuardedCounters:
    return GuardedCounters(
        RedisCounters(address_of(redis.url), "test"), MemoryCounters() if alone else None
    )


@pytest.mark.parametrize(
    ("what", "limit", "cost", "used", "pass_"),
    [
        (What.MONTH_TOKENS, 1_000, 1, 900, 100),
        (What.MONTH_TOKENS, 1_000, 7, 900, 14),
        (What.MONTH_REQUESTS, 50, 1, 20, 30),
        (What.REQUESTS, 10, 1, 0, 10),
        (What.TOKENS, 600, 60, 0, 10),
        (What.RUNNING, 25, 1, 0, 25),
    ],
)
def test_replicas_that_race_for_the_last_of_it_get_exactly_what_is_left(
    redis: Redis, what: What, limit: int, cost: int, used: int, pass_: int
) -> None:
    with _racers(lasting(4, 10), redis, what, limit, cost, 100, used) as racers:
        began, together = time.monotonic(), time.time() + _TOGETHER
        for racer in racers:
            racer.go(together)
        got = [int(racer.hear()) for racer in racers]
        refilled = (time.monotonic() - began) * limit / 60 if "minute" in what else 0
    assert pass_ <= sum(got) <= pass_ + refilled / cost
    if pass_ > 20:
        assert sum(1 for number in got if number) > 1, got  # they did race


async def test_places_of_a_replica_that_died_are_free_within_a_minute_and_its_quota_is_charged(
    redis: Redis,
) -> None:
    now = 1_900_000_000_000
    await say(redis, "SET", "now", now)
    counters = RedisCounters(address_of(redis.url), "test", CLOCK)
    with ExitStack() as stack:
        for what in (What.RUNNING, What.MONTH_TOKENS):
            racer = stack.enter_context(_Racer(redis, what, 20, 1, 20, 0, clock=CLOCK))
            assert racer.hear() == "ready"
            await say(redis, "SET", "now", now)
            racer.go()
            assert racer.hear() == "20"
            racer.process.kill()  # with 20 in flight
            racer.process.wait()
    running, tokens = charge(What.RUNNING, 20), charge(What.MONTH_TOKENS, 20)
    await say(redis, "SET", "now", now + LEASE - 1)
    assert (await counters.take(order(running))).refused == 0
    await say(redis, "SET", "now", now + LEASE)
    assert len(await passed(counters, [order(running) for _ in range(25)])) == 20
    assert (await counters.take(order(tokens))).refused == 0
    await counters.close()


async def test_servers_that_race_spend_a_quota_to_the_last_token_also_when_one_is_killed(
    redis: Redis,
) -> None:
    key = "sk-of-the-one-user"
    environment = {**os.environ, "REDIS_URL": redis.url, "KEY": f"ann: {key}"}
    with ExitStack() as stack:
        ports: list[int] = []
        replicas: list[subprocess.Popen[str]] = []
        for _ in range(3):
            replica = subprocess.Popen(  # noqa: ASYNC220  nothing else runs yet
                [sys.executable, "-m", "tests.unit.server.toll.replica"],
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            stack.callback(replica.communicate)
            stack.callback(replica.kill)
            replicas.append(replica)
        for replica in replicas:
            assert replica.stdout
            ports.append(int(replica.stdout.readline()))
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}) as client:

            async def ask(port: int, words: int) -> int:
                """The status, or 0 of a server that was killed."""
                url = f"http://127.0.0.1:{port}/v1/completions"
                try:
                    body = {"model": "small", "max_tokens": words}
                    return (await client.post(url, json=body, timeout=30)).status_code
                except httpx2.TransportError:
                    return 0

            async def left() -> int:
                month = order(charge(What.MONTH_TOKENS, QUOTA, 0, of="static:ann"))
                counters = RedisCounters(address_of(redis.url), "llmservice")
                try:
                    return (await taken(counters, month)).left[0].left
                finally:
                    await counters.close()

            # The engine says three tokens for each prompt: 13 a request, and the replicas race.
            statuses = [await ask(ports[0], 10)]
            statuses += await asyncio.gather(*(ask(ports[n % 3], 10) for n in range(60)))
            assert set(statuses) == {200}
            await until_async(left, QUOTA - 61 * 13)
            # One is killed while it answers a request, which stays charged as it was reserved.
            dying = asyncio.create_task(ask(ports[2], 100))
            before = QUOTA - 61 * 13
            while (reserved := before - await left()) < 100:
                await asyncio.sleep(0.01)
            replicas[2].kill()
            assert await dying == 0
            rest = before - reserved
            each = list(await asyncio.gather(*(ask(ports[n % 2], 1) for n in range(90))))
            while 200 in (more := [await ask(port, 1) for port in ports[:2]]):
                each += more  # of what was reserved for the others and came back
            assert set(each) == {200, 429}
            await until_async(left, rest - 4 * each.count(200))
            assert await left() < 20  # less than one more reserves


async def until_async(read: Callable[[], Awaitable[int]], wanted: int) -> None:
    async with asyncio.timeout(10):
        while await read() != wanted:
            await asyncio.sleep(0.01)


async def test_places_that_are_held_stay_held_as_long_as_their_replica_lives(redis: Redis) -> None:
    now = 1_900_000_000_000
    await say(redis, "SET", "now", now)
    counters = RedisCounters(address_of(redis.url), "test", CLOCK)
    running = charge(What.RUNNING, 1)
    long = order(running)
    verdict = await counters.take(long)
    for minute in range(1, 4):
        await say(redis, "SET", "now", now + minute * (LEASE - 10_000))
        await counters._renew()  # noqa: SLF001  as its own task does every 20 s
        assert (await counters.take(order(running))).refused == 0
    counters.settle(long, verdict, Spent(1, 5))
    await counters.look()
    assert (await counters.take(order(running))).refused is None
    await counters.close()


async def test_what_is_settled_twice_is_settled_once(counters: RedisCounters) -> None:
    """As where the answer of Redis was lost."""
    asked = order(charge(What.MONTH_TOKENS, 100, 60))
    verdict = await taken(counters, asked)
    counters.settle(asked, verdict, Spent(1, 10))
    batch = counters._settlings.copy()  # noqa: SLF001
    await counters.look()
    counters._batch, counters._number = list(batch), 1  # noqa: SLF001  sent, not answered
    await counters.look()
    left = (await taken(counters, order(charge(What.MONTH_TOKENS, 100, 0)))).left[0].left
    assert left == 90


@pytest.mark.usefixtures("hurried")
async def test_an_order_that_redis_comes_to_late_is_not_taken(
    redis: Redis, counters: RedisCounters
) -> None:
    tokens = charge(What.MONTH_TOKENS, 1000, 10)
    await taken(counters, order(tokens))
    redis.stall()
    for _ in range(20):
        with pytest.raises(RedisDownError):
            await counters.take(order(tokens))
    redis.go_on()
    await asyncio.sleep(0.3)
    assert (await counters.take(order(tokens))).left[0].left == 990


async def test_after_a_loss_a_month_goes_on_with_what_the_ledger_says(redis: Redis) -> None:
    """With 1,000 tokens, of which 400 were used and settled and 300 are in flight at the loss."""
    ledger, counters = Memory(), RedisCounters(address_of(redis.url), "test")

    def asked(cost: int) -> tuple[What, int, int]:
        return What.MONTH_TOKENS, 1000, cost

    settled = await passed(counters, [order(charge(*asked(100))) for _ in range(4)])
    for one, verdict in settled:
        counters.settle(one, verdict, Spent(1, 100))
    ledger.base = (4, 400)
    flying = await passed(counters, [order(charge(*asked(100))) for _ in range(3)])
    redis.kill()
    redis.start()
    with pytest.raises(RedisDownError):
        await counters.take(order(charge(*asked(1))))
    verdict = await taken(counters, order(charge(*asked(0))), ledger)
    assert verdict.left[0].left == 600  # what is in flight is not there: that is the bound
    for one, before in flying:
        counters.settle(one, before, Spent(1, 90))
    await counters.look()
    assert (await counters.take(order(charge(*asked(0))))).left[0].left == 600 - 3 * 90
    more = await passed(counters, [order(charge(*asked(10))) for _ in range(50)])
    assert len(more) == (600 - 270) // 10
    await counters.close()


async def test_what_the_ledger_knew_at_the_loss_is_not_charged_again(redis: Redis) -> None:
    counters = RedisCounters(address_of(redis.url), "test")
    one = order(charge(What.MONTH_TOKENS, 1000, 100))
    verdict = await taken(counters, one)
    redis.kill()
    counters.settle(one, verdict, Spent(1, 80))  # while it is away, and the ledger is told
    await asyncio.sleep(0.2)
    redis.start()
    await asyncio.sleep(0.2)
    ledger = Memory(1, 80)
    nothing = charge(What.MONTH_TOKENS, 1000, 0)
    while True:
        try:
            await taken(counters, order(nothing), ledger)
            break
        except RedisDownError:
            await asyncio.sleep(0.05)
    await counters.look()
    assert (await counters.take(order(nothing))).left[0].left == 920
    await counters.close()


async def _down(counters: GuardedCounters) -> None:
    for _ in range(3):
        with suppress(UnavailableError):
            await counters.take(order(charge(What.REQUESTS, 1000)))


def _is_down() -> bool:
    return bool(redis_down._value.get())  # noqa: SLF001


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("how", ["killed", "stalled"])
async def test_while_redis_is_down_each_replica_counts_alone_and_then_together_again(
    redis: Redis, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "llmservice.redis")
    replicas = [_guarded(redis), _guarded(redis)]
    limit = [order(charge(What.REQUESTS, 5, of="down")) for _ in range(8)]
    for replica in replicas:
        assert (await replica.take(order(charge(What.REQUESTS, 100)))).shared
    if how == "killed":
        redis.kill()
    else:
        redis.stall()
    for replica in replicas:
        await _down(replica)
        assert _is_down()
        assert len(await passed(replica, limit)) == 5
    if how == "killed":
        redis.start()
    else:
        redis.go_on()
    await until(lambda: not _is_down())
    for replica in replicas:
        await until(lambda replica=replica: replica._looking is None)  # noqa: SLF001
    together = [await passed(replica, limit) for replica in replicas]
    assert sum(map(len, together)) == 5
    said = [record.message.partition(" ")[0] for record in caplog.records]
    assert len(said) == 4  # one at the beginning and one at the end, of each replica
    assert "password" not in caplog.text
    assert redis.url.split("@")[0].removeprefix("redis://:") not in caplog.text
    for replica in replicas:
        await replica.close()


@pytest.mark.usefixtures("hurried")
async def test_a_stalled_redis_holds_up_three_requests_and_then_none(redis: Redis) -> None:
    counters = _guarded(redis)
    asked = [order(charge(What.REQUESTS, 10_000)) for _ in range(500)]
    await counters.take(asked[0])
    redis.stall()
    began = time.monotonic()
    verdicts = [await counters.take(one) for one in asked]
    seconds = time.monotonic() - began
    assert not any(verdict.shared for verdict in verdicts)
    assert seconds < 10  # where each waited for its 100 ms, it would be 50
    redis.go_on()
    await until(lambda: not _is_down())
    await counters.close()


async def test_closed_lets_nobody_pass_while_redis_is_down(redis: Redis) -> None:
    counters = _guarded(redis, alone=False)
    one = order(charge(What.REQUESTS, 10))
    await counters.take(one)
    redis.kill()
    for _ in range(5):
        with pytest.raises(UnavailableError):
            await counters.take(one)
    redis.start()
    await until(lambda: counters._looking is None)  # noqa: SLF001
    assert (await counters.take(one)).shared
    await counters.close()


@pytest.mark.usefixtures("hurried")
async def test_what_was_used_while_redis_stalled_is_charged_to_the_month_there(
    redis: Redis,
) -> None:
    counters = _guarded(redis)
    tokens = charge(What.MONTH_TOKENS, 1000, 100)
    await taken(counters, order(tokens))
    redis.stall()
    await _down(counters)
    alone = await passed(counters, [order(tokens) for _ in range(3)])
    assert [verdict.shared for _, verdict in alone] == [False] * 3
    for one, verdict in alone:
        counters.settle(one, verdict, Spent(1, 50))
    redis.go_on()
    await until(lambda: counters._looking is None)  # noqa: SLF001
    verdict: Verdict | None = None
    while verdict is None or not verdict.shared:
        verdict = await counters.take(order(charge(What.MONTH_TOKENS, 1000, 0)))
    assert verdict.left[0].left == 1000 - 100 - 3 * 50
    await counters.close()


async def test_a_redis_that_lets_nobody_in_or_is_none_is_down(redis: Redis) -> None:
    wrong = redis.url.replace("redis://:", "redis://:wrong")
    for url in (wrong, "redis://127.0.0.1:1/0", "unix:///nowhere.sock"):
        counters: Counters = RedisCounters(address_of(url), "test")
        with pytest.raises(RedisDownError) as raised:
            await counters.take(order(charge(What.REQUESTS, 1)))
        assert "wrong" not in str(raised.value)
        await counters.close()


@pytest.mark.parametrize(
    "url", ["", "localhost:6379", "http://h", "redis://", "redis://:secret@h:x", "redis://h/one"]
)
def test_what_is_no_address_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="write redis://") as raised:
        address_of(url)
    assert "secret" not in str(raised.value)


async def test_lost_settlements_are_bounded_and_counted(redis: Redis) -> None:
    lost: list[int] = []
    counters = RedisCounters(address_of(redis.url), "test", lost=lost.append)
    one = order(charge(What.MONTH_TOKENS, 10))
    verdict = await counters.take(one._replace(seed=Seed("2000-01", 0, 0)))
    redis.kill()
    for _ in range(20_050):
        counters.settle(one, verdict, NOTHING)
    assert sum(lost) == 50
    await counters.close()
    assert sum(lost) == 20_050


def test_a_test_that_is_killed_leaves_no_redis_behind() -> None:
    program = (
        "from dev.redis import Redis; import sys; server = Redis(); server.start(); "
        "print(server.port, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), 5):
            process.kill()
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            break
        except ConnectionResetError:
            pass  # it is ending
        assert time.monotonic() < deadline
        time.sleep(0.05)
