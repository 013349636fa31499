"""What a replica tells of its usage: once a second, all of it, and once."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmservice_server.config.price import Price
from llmservice_server.gateway.toll.counters import Seed
from llmservice_server.gateway.toll.ledger import Entry
from llmservice_server.store import books as module
from llmservice_server.store.books import Books
from llmservice_server.store.database import Database
from llmservice_server.store.failures import StoreError
from llmservice_server.store.usage import Batch, Owner, Total, Usage, raise_by

_DAY = date(2026, 11, 30)
_MONTH = "2026-11"


def _entry(user: str | None = "alice", month: str = _MONTH, **parts: int | str) -> Entry:
    whole = {"key": "k1", "model": "small", "requests": 1, "input_tokens": 10, "output_tokens": 20}
    return Entry(user=user, month=month, **whole | parts)  # type: ignore[arg-type]


def _books(usage: object, **parts: object) -> Books:
    return Books(usage, today=lambda: _DAY, **parts)  # type: ignore[arg-type]


class _Doubtful:
    """A database of which no answer comes now and then, whether it counted or not."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        self.counted: dict[str, int] = {}
        self.months: dict[Owner, Total] = {}
        self.reserved: dict[Owner, Total] = {}
        self.places: Counter[str] = Counter()

    async def add(self, replica: str, batch: Batch) -> bool:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "before":
            raise StoreError("away")
        if batch.number > self.counted.get(replica, 0):
            self.counted[replica] = batch.number
            for owner, total in batch.months.items():
                raise_by(self.months, owner, total)
            for place, amount in batch.used.items():
                self.places[place.model] += amount.requests
        self.reserved = dict(batch.reserved)
        if fault == "after":
            raise StoreError("away")
        return fault != "dead"


_STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("use"),
            st.sampled_from(["alice", "bob"]),
            st.sampled_from(["2026-11", "2026-12"]),
            st.integers(0, 1000),
        ),
        st.tuples(st.just("tell"), st.sampled_from(["", "", "before", "after", "dead"])),
    ),
    max_size=40,
)


@given(_STEPS)
def test_whatever_fails_each_request_is_counted_once(steps: list[tuple[object, ...]]) -> None:
    database = _Doubtful([])
    books = _books(database)
    expected: dict[Owner, Total] = {}

    async def run() -> None:
        for step in steps:
            match step:
                case ("use", str(user), str(month), int(tokens)):
                    books.reserve(user, month, 1, 5000)
                    taken = {"reserved_requests": 1, "reserved_tokens": 5000}
                    entry = _entry(user, month, input_tokens=tokens, output_tokens=1)
                    books.use(entry._replace(**taken))
                    raise_by(expected, Owner(user, month), Total(1, tokens + 1))
                case ("tell", str(fault)):
                    database.faults = [fault] if fault else []
                    try:
                        await books.tell()
                    except StoreError:
                        assert fault
        database.faults = []
        await books.tell()

    asyncio.run(run())
    assert database.months == expected
    assert database.reserved == {}


async def test_a_replicas_month_has_all_that_it_was_told_of(database: Database) -> None:
    books = _books(Usage(database), prices=[Price(model="small", output_per_million=2.5)])
    books.use(_entry())
    books.use(_entry(month="2026-12"))  # whose reservation fell into the next month
    books.use(_entry(user=None, key="", model="none's"))
    assert await books.month("alice", _MONTH) == Seed(_MONTH, 1, 30)
    assert await books.month("bob", _MONTH) == Seed(_MONTH, 0, 0)
    rows = await Usage(database).used(_DAY, _DAY, by=["user", "model"])
    assert [(row.user, row.model, row.requests, row.cost) for row in rows] == [
        ("", "none's", 1, 0),
        ("alice", "small", 2, 0.0001),
    ]


async def test_who_has_a_quota_is_not_told_a_month_that_nobody_knows() -> None:
    books = _books(_Doubtful(["before"]))
    books.use(_entry())
    with pytest.raises(StoreError):
        await books.month("alice", _MONTH)


async def test_a_crash_is_charged_what_was_reserved_and_an_end_is_not(
    replica: Callable[[], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed, ended, watcher = (_books(Usage(replica())) for _ in range(3))
    for books in (crashed, ended):
        books.reserve("alice", _MONTH, 1, 1000)
        await books.tell()
    ended.use(_entry(reserved_requests=1, reserved_tokens=1000))
    ended.start()
    await ended.stop()
    monkeypatch.setattr("llmservice_server.store.usage.DEAD", -1)
    assert await watcher.month("alice", _MONTH) == Seed(_MONTH, 2, 1030)


async def test_it_tells_by_itself_and_goes_on_after_a_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(module, "_EVERY", 0.01)
    database = _Doubtful(["before", "after", "before"])
    books = _books(database)
    books.start()
    books.use(_entry())
    await asyncio.sleep(0.3)
    books.use(_entry())
    await asyncio.sleep(0.1)
    assert database.months == {Owner("alice", _MONTH): Total(2, 60)}
    said = [record.message for record in caplog.records]
    assert said == [
        "usage is kept until the database answers again: away",
        "the database answers again: usage was told",
    ]
    before = dict(database.counted)
    await asyncio.sleep(0.1)
    assert database.counted == before  # nothing is told where there is nothing


async def test_more_names_than_memory_has_room_for_are_counted_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_PLACES", 10)
    database = _Doubtful([])
    books = _books(database)
    for number in range(100):
        books.use(_entry(model=f"model{number}"))
    await books.tell()
    assert database.places["other"] == 90
    assert database.months == {Owner("alice", _MONTH): Total(100, 3000)}


async def test_names_that_a_database_refuses_hold_nothing_up(database: Database) -> None:
    books = _books(Usage(database))
    books.use(_entry(model="a\0b\ud800" + "x" * 500))
    books.use(_entry(user="o'brien\0"))
    await books.tell()
    rows = await Usage(database).used(_DAY, _DAY, by=["user", "model"])
    assert [(row.user, row.model) for row in rows] == [
        ("alice", "a?b?" + "x" * 251),
        ("o'brien?", "small"),
    ]
