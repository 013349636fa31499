"""What a replica tells of its requests: soon, all of it, once, and nothing of it for ever."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmservice_server.gateway.history import Asked
from llmservice_server.store import journal as module
from llmservice_server.store import retention
from llmservice_server.store.claims import claimed
from llmservice_server.store.conversations import Conversations
from llmservice_server.store.database import Database
from llmservice_server.store.failures import StoreError
from llmservice_server.store.history import History
from llmservice_server.store.journal import Journal
from llmservice_server.store.retention import Retention

_DAY = 86_400
_PLAIN = Asked(
    at=0.0,
    request_id="",
    user="alice",
    key="k1",
    model="small",
    route="/v1/completions",
    status=200,
    error=None,
    streaming=False,
    answered_by=None,
    input_tokens=1,
    output_tokens=1,
    first_token_seconds=None,
    seconds=0.1,
)


def _asked(name: str, **parts: object) -> Asked:
    return _PLAIN._replace(request_id=name, **parts)  # type: ignore[arg-type]


class _Doubtful:
    """A history of which no answer comes now and then, whether it was written or not."""

    def __init__(self, faults: Sequence[str] = ()) -> None:
        self.faults = list(faults)
        self.kept: list[str] = []

    async def add(
        self, requests: Sequence[Asked], replica: str, *, perhaps_again: bool = False
    ) -> None:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "before":
            raise StoreError("away")
        names = [request.request_id for request in requests]
        if not (perhaps_again and names[0] in self.kept):
            self.kept += names
        if fault == "after":
            raise StoreError("away")


def _journal(history: object) -> Journal:
    return Journal(history, "one")  # type: ignore[arg-type]


@given(st.lists(st.one_of(st.just("keep"), st.sampled_from(["", "before", "after"])), max_size=60))
def test_whatever_fails_each_request_is_kept_once_and_in_order(steps: list[str]) -> None:
    history = _Doubtful()
    journal = _journal(history)
    expected: list[str] = []

    async def run() -> None:
        for number, step in enumerate(steps):
            if step == "keep":
                assert journal.keep(_asked(str(number))) is None
                expected.append(str(number))
                continue
            history.faults = [step] if step else []
            try:
                await journal.tell()
            except StoreError:
                assert step
        history.faults = []
        await journal.tell()

    asyncio.run(run())
    assert history.kept == expected


async def test_it_tells_by_itself_says_once_that_it_cannot_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(module, "_EVERY", 0.01)
    history = _Doubtful(["before", "after", "before"])
    journal = _journal(history)
    journal.start()
    journal.keep(_asked("a"))
    await asyncio.sleep(0.3)
    journal.keep(_asked("b"))
    await journal.stop()
    assert history.kept == ["a", "b"]
    assert [record.message for record in caplog.records] == [
        "history is kept until the database answers again: away",
        "the database answers again: history was told",
    ]


async def test_beyond_its_room_requests_are_lost_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    history = _Doubtful(["before"] * 5)
    journal = _journal(history)
    kept = [journal.keep(_asked(name)) for name in "abcde"]
    assert kept == [None, None, None, "request", "request"]
    journal.start()
    await journal.stop()
    assert "the last 3 requests of the history are lost: away" in caplog.text
    history.faults = []
    await journal.tell()  # the control
    assert history.kept == ["a", "b", "c"]
    assert journal.keep(_asked("f")) is None


async def test_bodies_beyond_their_room_are_left_out_and_the_request_stays(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 100)
    monkeypatch.setattr(module, "_BATCH_BYTES", 30)
    history = History(database)
    journal = _journal(history)
    lost = [journal.keep(_asked(name, asked=b"x" * 20, answered=b"y" * 20)) for name in "abc"]
    assert lost == [None, None, "bodies"]
    assert journal.keep(_asked("d")) is None
    await journal.tell()
    found = await history.requests(10)
    whole = [await history.request(one.number) for one in found]
    assert [(one.request_id, one.asked, one.answered) for one in reversed(whole)] == [
        ("a", "x" * 20, "y" * 20),
        ("b", "x" * 20, "y" * 20),
        ("c", None, None),
        ("d", None, None),
    ]
    assert journal.keep(_asked("e", asked=b"x" * 100)) is None  # there is room again


@pytest.mark.parametrize("days", [1, 30])
async def test_what_is_too_old_goes_and_nothing_else(
    replica: Callable[[], Database], monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    monkeypatch.setattr(retention, "_PAUSE", 0)
    database = replica()
    history, conversations = History(database), Conversations(database)
    now = datetime.now(UTC).timestamp()
    old = [_asked("old", at=now - days * _DAY - 60) for _ in range(450)]
    await history.add([*old, _asked("new", at=now - days * _DAY + 60)], "one")
    begun = await conversations.begin("user:alice", [{"role": "user", "content": "hello"}])
    await Retention(database, history, conversations, days).forget()
    assert [one.request_id for one in await history.requests(10)] == ["new"]
    assert await conversations.conversations("user:alice", 10) == (begun,)


async def test_between_two_steps_it_rests_as_long_as_one_took(database: Database) -> None:
    """So that what else is asked of the database has at least half of its time."""
    loop, steps = asyncio.get_running_loop(), list[tuple[float, float]]()

    async def step(_: datetime) -> int:
        began = loop.time()
        await asyncio.sleep(0.2)
        steps.append((began, loop.time()))
        return 4 - len(steps)

    slow: Any = SimpleNamespace(forget=step)
    await Retention(database, slow, Conversations(database), days=1).forget()
    assert len(steps) == 4
    assert all(next_ - ended >= 0.2 for (_, ended), (next_, _) in pairwise(steps))


async def test_one_replica_deletes_at_a_time_and_another_one_when_that_died(
    replica: Callable[[], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    databases = [replica(), replica()]
    first, second = (Retention(one, History(one), Conversations(one), days=1) for one in databases)
    history = History(databases[0])
    await first.forget()
    await history.add([_asked("old")], "one")
    await second.forget()
    assert len(await history.requests(10)) == 1  # it is the first one's
    assert await claimed(databases[1], "retention", "third", 60) is None
    monkeypatch.setattr(retention, "_CLAIMED", -5)  # which then is over
    await first.forget()
    assert await history.requests(10) == ()
    await history.add([_asked("old")], "one")
    await second.forget()
    assert await history.requests(10) == ()
