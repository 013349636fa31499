"""What was used: sums that are right however the batches fall, and replicas that die."""

import asyncio
from collections.abc import Callable
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmservice_server.config.price import Price
from llmservice_server.store import usage as module
from llmservice_server.store.database import Database
from llmservice_server.store.usage import MOST, Amount, Batch, Owner, Place, Total, Usage
from sqlalchemy import text

_DAY = date(2026, 11, 30)
_ALICE = Owner("alice", "2026-11")


def _place(user: str = "alice", day: date = _DAY, key: str = "k1", model: str = "small") -> Place:
    return Place(day, user, key, model)


def _batch(number: int, requests: int = 1, **reserved: int) -> Batch:
    total = Total(requests, 30 * requests)
    return Batch(
        number,
        {_place(): Amount(requests, 10 * requests, 20 * requests, 5 * requests)},
        {_ALICE: total},
        {Owner(user, "2026-11"): Total(1, tokens) for user, tokens in reserved.items()},
    )


async def _age(database: Database, seconds: int) -> None:
    """As if no replica had been heard of for so long."""
    async with database.writing() as connection:
        await connection.execute(text(f"UPDATE replicas SET beat = beat - {seconds}"))


async def test_a_batch_is_counted_once_however_often_it_is_told(database: Database) -> None:
    usage = Usage(database)
    for number in (1, 1, 2, 2, 2):
        assert await usage.add("r", _batch(number))
    (all_of_it,) = await usage.used(_DAY, _DAY)
    assert (all_of_it.requests, all_of_it.input_tokens, all_of_it.output_tokens) == (2, 20, 40)
    assert all_of_it.cost == 10 / 1e9
    assert await usage.month(_ALICE) == Total(2, 60)
    assert await usage.add("another", _batch(1))  # whose numbers are its own
    assert await usage.month(_ALICE) == Total(3, 90)


async def test_sums_are_told_by_what_is_asked_for(database: Database) -> None:
    usage = Usage(database)
    one = Amount(1, 10, 20, 1_500_000_000)
    used = {
        _place(): one,
        _place(day=_DAY + timedelta(days=1)): one,
        _place(key="k2", model="large"): one,
        _place(user="", key=""): one,
    }
    await usage.add("r", Batch(1, used))
    by_user = await usage.used(_DAY, _DAY, by=["user"])
    assert [(row.user, row.requests, row.cost) for row in by_user] == [
        ("", 1, 1.5),
        ("alice", 2, 3),
    ]
    assert by_user[0].key is by_user[0].day is by_user[0].model is None
    days = await usage.used(_DAY, _DAY + timedelta(days=9), by=["day"], of={"user": "alice"})
    assert [(row.day, row.requests) for row in days] == [(_DAY, 2), (_DAY + timedelta(days=1), 1)]
    whole = await usage.used(_DAY, _DAY, by=["model", "key", "user", "day"])
    assert len(whole) == 3
    (none,) = await usage.used(_DAY - timedelta(days=9), _DAY - timedelta(days=1))
    assert (none.requests, none.cost) == (0, 0)


async def test_ten_replicas_at_once_lose_nothing_and_do_not_wait_for_ever(
    replica: Callable[[], Database],
) -> None:
    """Each in an order of its own, over the same users, as two that lock each other out would."""
    databases = [replica() for _ in range(5)]
    await databases[0].bring_up()

    async def tell(number: int, database: Database) -> None:
        users = [f"user{n}" for n in range(20)]
        users = users[number:] + users[:number]
        for batch in range(1, 6):
            used = {_place(user=user): Amount(1, 1, 1, 1) for user in users}
            months = {Owner(user, "2026-11"): Total(1, 2) for user in users}
            await Usage(database).add(f"r{number}", Batch(batch, used, months))

    await asyncio.gather(*(tell(number, databases[number % 5]) for number in range(10)))
    (total,) = await Usage(databases[0]).used(_DAY, _DAY)
    assert total.requests == 10 * 5 * 20
    months = await Usage(databases[0]).months(100, "2026-11")
    assert [month.requests for month in months] == [50] * 20


async def test_what_a_dead_replica_had_reserved_is_charged_once_and_in_full(
    replica: Callable[[], Database],
) -> None:
    databases = [replica() for _ in range(4)]
    usage = Usage(databases[0])
    await usage.add("dead", _batch(1, alice=1000, bob=7))
    assert await usage.charge_the_dead() == 0  # it lives
    assert await usage.month(_ALICE) == Total(1, 30)
    await _age(databases[0], module.DEAD + 1)
    await usage.add("alive", _batch(1, alice=5))
    assert await usage.month(_ALICE) == Total(3, 1060)  # at once, for who asks for a quota
    charged = await asyncio.gather(*(Usage(database).charge_the_dead() for database in databases))
    assert sum(charged) == 1
    assert await usage.month(_ALICE) == Total(3, 1060)
    assert await usage.month(Owner("bob", "2026-11")) == Total(1, 7)
    (used,) = await usage.used(_DAY, _DAY)
    assert used.requests == 2  # nobody knows what the rest was used for


async def test_one_that_was_only_away_is_told_so_and_its_usage_is_counted_once(
    database: Database,
) -> None:
    usage = Usage(database)
    await usage.add("away", _batch(1, alice=1000))
    await _age(database, module.DEAD + 1)
    assert await usage.charge_the_dead() == 1
    assert not await usage.add("away", _batch(1, alice=1000))  # of which it had not heard
    assert await usage.month(_ALICE) == Total(2, 1030)
    assert not await usage.add("away", _batch(2))
    assert await usage.month(_ALICE) == Total(3, 1060)
    await _age(database, module.DEAD + 1)
    assert await usage.charge_the_dead() == 0


async def test_who_leaves_has_nothing_charged(database: Database) -> None:
    usage = Usage(database)
    await usage.add("r", _batch(1, alice=1000))
    await usage.leave("r")
    await _age(database, module.DEAD + 1)
    assert await usage.charge_the_dead() == 0
    assert await usage.month(_ALICE) == Total(1, 30)


async def test_a_sum_stops_before_a_database_would_refuse_it(database: Database) -> None:
    usage = Usage(database)
    huge = Batch(1, {_place(): Amount(1, 2**80, 2**62, 2**90)}, {_ALICE: Total(2**70, 2**62)})
    await usage.add("r", huge)
    await usage.add("r", Batch(2, huge.used, huge.months))
    (used,) = await usage.used(_DAY, _DAY)
    assert (used.requests, used.input_tokens, used.output_tokens) == (2, MOST, MOST)
    assert await usage.month(_ALICE) == Total(MOST, MOST)


async def test_more_rows_than_one_statement_takes(database: Database) -> None:
    usage = Usage(database)
    used = {_place(user=f"user{n}"): Amount(1, 1, 1, 1) for n in range(1234)}
    reserved = {Owner(f"user{n}", "2026-11"): Total(1, 1) for n in range(1234)}
    await usage.add("r", Batch(1, used, reserved=reserved))
    assert (await usage.used(_DAY, _DAY))[0].requests == 1234
    assert len(await usage.used(_DAY, _DAY, by=["user"], limit=100)) == 100


_TOKENS = st.integers(0, 2**32)
_PRICES = st.integers(0, 10_000_000).map(lambda thousandths: thousandths / 1000)


@given(_PRICES, _PRICES, st.lists(st.tuples(_TOKENS, _TOKENS), max_size=20))
def test_a_cost_is_exact_and_that_of_all_is_the_sum_of_each(
    read: float, written: float, requests: list[tuple[int, int]]
) -> None:
    price = Price(model="m", input_per_million=read, output_per_million=written)
    whole = price.of(sum(r for r, _ in requests), sum(w for _, w in requests))
    assert whole == sum(price.of(*tokens) for tokens in requests)
    assert price.of(1_000_000, 0) == round(read * 1000) * 1_000_000  # the price, in billionths


def test_a_price_finer_than_what_is_counted_is_refused() -> None:
    with pytest.raises(ValueError, match="more than three digits"):
        Price(model="m", input_per_million=0.0001)
