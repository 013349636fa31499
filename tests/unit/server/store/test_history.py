"""What was asked, and conversations: kept for as long as is wanted, and nobody else's."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from llmservice_server.gateway.history import Asked
from llmservice_server.store import conversations
from llmservice_server.store.conversations import Conversations
from llmservice_server.store.database import Database
from llmservice_server.store.failures import AbsentError, RefusedError, TakenError
from llmservice_server.store.history import History

_NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
_PLAIN = Asked(
    at=_NOW.timestamp(),
    request_id="r0",
    user="alice",
    key="AAAAbbbb",
    model="small",
    route="/v1/chat/completions",
    status=200,
    error=None,
    streaming=False,
    answered_by=None,
    input_tokens=10,
    output_tokens=20,
    first_token_seconds=0.125,
    seconds=1.5,
)


def _asked(number: int = 0, **parts: object) -> Asked:
    at = _PLAIN.at + number
    return _PLAIN._replace(**{"at": at, "request_id": f"r{number}"} | parts)  # type: ignore[arg-type]


async def test_requests_are_kept_as_they_were_and_told_the_newest_first(
    database: Database,
) -> None:
    history = History(database)
    await history.add([], "one")
    body = '{"prompt": "é"}'.encode()
    whole = {"asked": body, "answered": b"x" * 100_000, "input_tokens": None}
    bob = _asked(1, user="bob", streaming=True, error="cut", answered_by="cache", **whole)
    await history.add([_asked(0), bob, _asked(2)], "one")
    found = await history.requests(10)
    assert [request.request_id for request in found] == ["r2", "r1", "r0"]
    (of_bob,) = await history.requests(10, of={"user": "bob"})
    assert await history.request(found[0].number) == await history.request(found[0].number)
    kept = (await history.request(of_bob.number)).model_dump(exclude={"number"})
    expected = bob._asdict() | {"at": _NOW + timedelta(seconds=1), "replica": "one"}
    assert kept == expected | {"asked": body.decode(), "answered": "x" * 100_000}
    assert of_bob.model_dump().items() <= kept.items() | {("number", of_bob.number)}
    assert await history.requests(1, before=found[0].number) == found[1:2]
    with pytest.raises(AbsentError, match="request 0: there is none"):
        await history.request(0)


async def test_requests_are_found_by_who_asked_for_what_and_when(database: Database) -> None:
    history = History(database)
    others = [{"user": "bob"}, {"key": "k2"}, {"model": "large"}, {}]
    await history.add([_asked(number, **parts) for number, parts in enumerate(others)], "one")

    async def found(**which: object) -> list[str]:
        return [one.request_id for one in await history.requests(10, **which)]  # type: ignore[arg-type]

    assert await found(of={"user": "bob"}) == ["r0"]
    assert await found(of={"key": "k2"}) == ["r1"]
    assert await found(of={"model": "large", "user": "alice"}) == ["r2"]
    assert await found(of={"model": "large", "user": "bob"}) == []
    second = _NOW + timedelta(seconds=1)
    assert await found(since=second) == ["r3", "r2", "r1"]
    assert await found(until=second) == ["r0"]
    assert await found(since=second, until=second + timedelta(seconds=1)) == ["r1"]


async def test_what_may_have_been_added_is_not_added_twice(database: Database) -> None:
    history = History(database)
    batch = [_asked(0), _asked(1)]
    await history.add(batch, "one", perhaps_again=True)
    await history.add(batch, "one", perhaps_again=True)
    await history.add([_asked(0)], "another", perhaps_again=True)  # the client's own id
    assert len(await history.requests(10)) == 3
    await history.add(batch, "one")  # the control
    assert len(await history.requests(10)) == 5


async def test_a_users_requests_are_forgotten_and_nobody_elses(database: Database) -> None:
    history = History(database)
    await history.add([_asked(number) for number in range(250)], "one")
    await history.add([_asked(user="bob")], "one")
    assert [await history.forget_user("alice") for _ in range(3)] == [200, 50, 0]
    assert [one.user for one in await history.requests(10)] == ["bob"]


async def test_old_requests_are_forgotten_and_no_others(database: Database) -> None:
    history = History(database)
    await history.add([_asked(number) for number in range(500)], "one")
    gone = [await history.forget(_NOW + timedelta(seconds=450)) for _ in range(4)]
    assert gone == [200, 200, 50, 0]
    assert len(await history.requests(1000)) == 50


async def test_no_text_of_a_client_holds_a_batch_up(database: Database) -> None:
    history = History(database)
    odd = _asked(request_id="a\0b" + "x" * 500, user="\ud800", asked=b"\0 \xff", answered=b"\xc3")
    await history.add([odd, _asked(1)], "one\0")
    found = await history.request((await history.requests(10))[1].number)
    assert (found.request_id, found.user, found.replica) == ("a?b" + "x" * 252, "?", "one?")
    assert (found.asked, found.answered) == ("? \ufffd", "\ufffd")


async def test_a_conversation_goes_on_and_is_its_owners_alone(database: Database) -> None:
    kept = Conversations(database)
    said = [
        {"role": "user", "content": f"message {number} é\u2028 \0 \ud83d"} for number in range(5)
    ]
    begun = await kept.begin("user:alice", said[:2])
    went_on = await kept.go_on("user:alice", begun.id, 2, said[2:])
    assert went_on.messages == 5
    assert await kept.messages("user:alice", begun.id, 100) == (went_on, tuple(said))
    assert (await kept.messages("user:alice", begun.id, 2))[1] == tuple(said[3:])
    system = {"role": "system", "content": "be brief"}
    told = await kept.begin("user:alice", [system, *said])
    assert (await kept.messages("user:alice", told.id, 2))[1] == (system, *said[3:])
    await kept.delete("user:alice", told.id)
    for another in (
        kept.messages("user:bob", begun.id, 10),
        kept.go_on("user:bob", begun.id, 5, said),
        kept.delete("user:bob", begun.id),
        kept.messages("user:alice", "no-such", 10),
    ):
        with pytest.raises(AbsentError):
            await another
    assert await kept.conversations("user:bob", 10) == ()
    assert await kept.conversations("user:alice", 10) == (went_on,)
    await kept.delete("user:alice", begun.id)
    assert await kept.conversations("user:alice", 10) == ()


async def test_two_that_go_on_at_once_do_not_mix(database: Database) -> None:
    kept = Conversations(database)
    begun = await kept.begin("user:alice", [{"role": "user", "content": "hello"}])
    answers = [[{"role": "assistant", "content": str(number)}] * 2 for number in range(4)]
    ended = await asyncio.gather(
        *(kept.go_on("user:alice", begun.id, 1, answer) for answer in answers),
        return_exceptions=True,
    )
    assert sorted(type(end).__name__ for end in ended) == ["Conversation"] + ["TakenError"] * 3
    assert any(isinstance(end, TakenError) for end in ended)
    _, messages = await kept.messages("user:alice", begun.id, 100)
    assert messages[1] == messages[2]
    assert len(messages) == 3


async def test_conversations_are_listed_deleted_and_forgotten(database: Database) -> None:
    kept = Conversations(database)
    made = [await kept.begin("user:alice", []) for _ in range(3)]
    await kept.begin("user:bob", [])
    await kept.go_on("user:alice", made[0].id, 0, [{"role": "user", "content": "again"}])
    found = await kept.conversations("user:alice", 2)
    assert [conversation.id for conversation in found] == [made[0].id, made[2].id]
    rest = await kept.conversations("user:alice", 2, before=found[-1].changed)
    assert [conversation.id for conversation in rest] == [made[1].id]
    assert await kept.forget_user("alice") == 3
    assert await kept.conversations("user:alice", 10) == ()
    assert await kept.forget(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert await kept.forget(datetime.now(UTC)) == 1
    assert await kept.conversations("user:bob", 10) == ()


async def test_an_owner_has_so_many_conversations_at_most(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "MOST_CONVERSATIONS", 2)
    kept = Conversations(database)
    for _ in range(2):
        await kept.may_begin("user:alice")
        await kept.begin("user:alice", [])
    with pytest.raises(RefusedError, match="there are 2 conversations; delete some"):
        await kept.may_begin("user:alice")
    await kept.may_begin("user:bob")
