"""What was asked, and conversations: kept for as long as is wanted, and nobody else's."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from llmservice_server.store.conversations import Conversations
from llmservice_server.store.database import Database
from llmservice_server.store.failures import AbsentError, TakenError
from llmservice_server.store.history import Asked, History

_NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def _asked(number: int = 0, **parts: object) -> Asked:
    whole = {
        "at": _NOW + timedelta(seconds=number),
        "request_id": f"r{number}",
        "user": "alice",
        "key": "AAAAbbbb",
        "model": "small",
        "route": "/v1/chat/completions",
        "status": 200,
        "error": None,
        "input_tokens": 10,
        "output_tokens": 20,
        "first_token_seconds": 0.125,
        "seconds": 1.5,
    }
    return Asked.model_validate(whole | parts)


async def test_requests_are_kept_as_they_were_and_told_the_newest_first(
    database: Database,
) -> None:
    history = History(database)
    await history.add([])
    bob = _asked(1, user="bob", asked='{"prompt": "é"}', answered="x" * 100_000, input_tokens=None)
    await history.add([_asked(0), bob, _asked(2)])
    found = await history.requests(10)
    assert [request.request_id for request in found] == ["r2", "r1", "r0"]
    (of_bob,) = await history.requests(10, user="bob")
    assert of_bob.model_dump(exclude={"number"}) == bob.model_dump()
    assert await history.requests(1, before=found[0].number) == found[1:2]


async def test_old_requests_are_forgotten_and_no_others(database: Database) -> None:
    history = History(database)
    await history.add([_asked(number) for number in range(500)])
    gone = [await history.forget(_NOW + timedelta(seconds=450)) for _ in range(4)]
    assert gone == [200, 200, 50, 0]
    assert len(await history.requests(1000)) == 50


async def test_no_text_of_a_client_holds_a_batch_up(database: Database) -> None:
    history = History(database)
    await history.add([_asked(request_id="a\0b" + "x" * 500, asked="\0 \ud800"), _asked(1)])
    found = await history.requests(10)
    assert (found[1].request_id, found[1].asked) == ("a?b" + "x" * 252, "? ?")


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
    assert await kept.delete_all("user:alice") == 3
    assert await kept.conversations("user:alice", 10) == ()
    assert await kept.forget(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert await kept.forget(datetime.now(UTC)) == 1
    assert await kept.conversations("user:bob", 10) == ()
