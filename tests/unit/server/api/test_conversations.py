"""Conversations that are kept: they go on in whole turns only, and are their owner's alone."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from llmservice_server.config import (
    ApiConfig,
    AuthConfig,
    DatabaseConfig,
    HistoryConfig,
    Place,
    Plan,
)
from llmservice_server.store import conversations as kept
from llmservice_server.store.conversations import Conversations
from llmservice_server.store.failures import StoreError

from tests.unit.server.api.beside import events
from tests.unit.server.api.openai_engine import Running, running

_KEYS = {"alice": "alices-key-of-the-tests", "bob": "bobs-key-of-the-tests"}
_SYSTEM = {"role": "system", "content": "Answer in one sentence."}
_ANSWER = {"role": "assistant", "content": " Paris."}


def _bearer(name: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {_KEYS[name]}"} if name else {}


def _auth(folder: Path, **parts: Any) -> AuthConfig:
    file = folder / "keys"
    file.write_text("".join(f"{name}: {key}\n" for name, key in _KEYS.items()))
    return AuthConfig(keys=Place(file=str(file)), **parts)


@pytest.fixture
async def server(database_config: DatabaseConfig, tmp_path: Path) -> AsyncIterator[Running]:
    parts = {"auth": _auth(tmp_path), "database": database_config, "history": HistoryConfig()}
    async with running(**parts) as made:
        yield made


def _said(words: str) -> dict[str, str]:
    return {"role": "user", "content": words}


async def _chat(
    server: Running, conversation: Any, *messages: Any, by: str | None = "alice", **more: Any
) -> httpx2.Response:
    said = [_said(one) if isinstance(one, str) else one for one in messages]
    body = {"messages": said, "conversation_id": conversation, **more}
    return await server.client.post("/api/chat", json=body, headers=_bearer(by), timeout=60)


async def _read(server: Running, path: str = "", by: str | None = "alice") -> tuple[int, Any]:
    answer = await server.client.get(f"/api/conversations{path}", headers=_bearer(by), timeout=60)
    return answer.status_code, answer.json()


async def _messages(server: Running, conversation: str) -> Any:
    status, whole = await _read(server, f"/{conversation}")
    assert status == 200
    return whole["messages"]


async def test_it_begins_goes_on_and_the_model_gets_what_was_said(server: Running) -> None:
    begun = (await _chat(server, "new", _SYSTEM, "France?")).json()
    assert begun["message"] == _ANSWER
    went_on = (await _chat(server, begun["conversation_id"], "Italy?")).json()
    assert went_on["conversation_id"] == begun["conversation_id"]
    whole = [_SYSTEM, _said("France?"), _ANSWER, _said("Italy?")]
    sent = server.engine.bodies("/v1/chat/completions")[-1]
    assert sent == {"messages": whole, "model": "small"}
    assert await _messages(server, begun["conversation_id"]) == [*whole, _ANSWER]


async def test_a_stream_keeps_what_it_told_and_names_the_conversation_at_its_end(
    server: Running,
) -> None:
    streamed = events((await _chat(server, "new", "France?", stream=True)).text)
    assert streamed[-1] == "[DONE]"
    assert streamed[-2]["finish_reason"] == "stop"
    again = events((await _chat(server, streamed[-2]["conversation_id"], "x", stream=True)).text)
    assert again[-2]["conversation_id"] == streamed[-2]["conversation_id"]
    assert await _messages(server, again[-2]["conversation_id"]) == [
        *(_said("France?"), _ANSWER),
        *(_said("x"), _ANSWER),
    ]


@pytest.mark.parametrize("words", ["500", "cut", "break"])
async def test_a_turn_without_a_whole_answer_is_not_kept(server: Running, words: str) -> None:
    begun = (await _chat(server, "new", "France?")).json()["conversation_id"]
    answer = await _chat(server, begun, words, stream=True)
    assert answer.status_code == 500 or "error" in events(answer.text)[-1]
    assert (await _chat(server, "new", words, stream=True)).text.count("conversation_id") == 0
    assert await _messages(server, begun) == [_said("France?"), _ANSWER]
    assert len((await _read(server))[1]) == 1


async def test_a_client_that_leaves_has_said_nothing(server: Running) -> None:
    begun = (await _chat(server, "new", "France?")).json()["conversation_id"]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await _chat(server, begun, "slow")
    async with asyncio.timeout(30):
        while not server.engine.left:
            await asyncio.sleep(0.05)
    assert await _messages(server, begun) == [_said("France?"), _ANSWER]


async def test_without_an_id_nothing_is_kept(server: Running) -> None:
    body = {"messages": [_said("France?")]}
    answer = await server.client.post("/api/chat", json=body, headers=_bearer("alice"))
    assert "conversation_id" not in answer.json()
    assert await _read(server) == (200, [])


async def test_it_is_its_owners_alone(server: Running) -> None:
    begun = (await _chat(server, "new", "France?")).json()["conversation_id"]
    of_bob = await _chat(server, begun, "What did she say?", by="bob")
    none = await _chat(server, "no-such", "Hello?", by="bob")
    for answer in (of_bob, none):
        assert answer.status_code == 404
    words = of_bob.json()["error"]["message"].replace(begun, "no-such")
    assert words == none.json()["error"]["message"]  # nor does he learn that it is there
    assert len(server.engine.bodies("/v1/chat/completions")) == 1
    assert (await _read(server, f"/{begun}", by="bob"))[0] == 404
    assert await _read(server, by="bob") == (200, [])
    address = f"/api/conversations/{begun}"
    assert (await server.client.delete(address, headers=_bearer("bob"))).status_code == 404
    assert (await _read(server, by=None))[0] == 401
    # the control
    assert (await _read(server, f"/{begun}"))[0] == 200
    assert (await server.client.delete(address, headers=_bearer("alice"))).status_code == 204
    assert (await _read(server, f"/{begun}"))[0] == 404
    assert (await _chat(server, begun, "Hello?")).status_code == 404


async def test_those_that_changed_last_are_listed_first(server: Running) -> None:
    made = [(await _chat(server, "new", "x")).json()["conversation_id"] for _ in range(3)]
    await _chat(server, made[0], "x")
    _, listed = await _read(server, "?limit=2")
    assert [one["id"] for one in listed] == [made[0], made[2]]
    assert [one["message_count"] for one in listed] == [4, 2]
    changed = listed[-1]["changed"]
    assert datetime.fromisoformat(changed).tzinfo
    _, rest = await _read(server, f"?limit=2&before={changed.replace('+', '%2B')}")
    assert [one["id"] for one in rest] == [made[1]]
    status, error = await _read(server, "?limit=0")
    assert (status, error["error"]["message"].startswith("limit: ")) == (400, True)


async def test_of_two_turns_at_once_one_is_kept_and_the_other_one_told_so(server: Running) -> None:
    begun = (await _chat(server, "new", "France?")).json()["conversation_id"]
    answers = await asyncio.gather(
        *(_chat(server, begun, f"question {number}") for number in range(3)),
        *(_chat(server, begun, f"question {number}", stream=True) for number in range(3, 6)),
    )
    whole = [answer for answer in answers[:3] if answer.status_code == 200]
    streamed = [answer for answer in answers[3:] if events(answer.text)[-1] == "[DONE]"]
    refused = [one for one in answers if one not in whole and one not in streamed]
    messages = await _messages(server, begun)
    assert len(messages) == 2 + 2 * (len(whole) + len(streamed))
    assert len(refused) + len(whole) + len(streamed) == 6
    assert refused
    for answer in refused:
        assert "it went on meanwhile; send again" in answer.text
        assert answer.status_code in {200, 409}  # a stream had begun
    for question, answer in zip(messages[::2], messages[1::2], strict=True):
        assert (question["role"], answer) == ("user", _ANSWER)


async def test_what_cannot_be_kept_is_no_answer(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise StoreError("the database: is away")

    monkeypatch.setattr(Conversations, "begin", fail)
    answer = await _chat(server, "new", "France?")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    (*_, last) = events((await _chat(server, "new", "France?", stream=True)).text)
    assert last["error"]["message"] == "the database: is away"
    monkeypatch.setattr(Conversations, "may_begin", fail)
    before = len(server.engine.asked)
    assert (await _chat(server, "new", "France?")).status_code == 503
    assert len(server.engine.asked) == before  # the model is not asked in vain


async def test_the_model_gets_the_newest_and_the_systems_words(
    database_config: DatabaseConfig, tmp_path: Path
) -> None:
    parts = {"auth": _auth(tmp_path), "database": database_config, "history": HistoryConfig()}
    async with running(on=ApiConfig(max_context_messages=4), **parts) as server:
        begun = (await _chat(server, "new", _SYSTEM, "0")).json()["conversation_id"]
        for number in range(1, 5):
            answer = (await _chat(server, begun, str(number))).json()
        sent = server.engine.bodies("/v1/chat/completions")[-1]["messages"]
        assert sent == [_SYSTEM, _said("3"), _ANSWER, _said("4")]
        assert answer["dropped_messages"] == 10 - 4
        assert len(await _messages(server, begun)) == 11


async def test_what_is_kept_counts_for_the_plans_bound_on_prompts(
    database_config: DatabaseConfig, tmp_path: Path
) -> None:
    auth = _auth(tmp_path, plans=(Plan(name="default", max_prompt_tokens=40),))
    parts = {"auth": auth, "database": database_config, "history": HistoryConfig()}
    async with running(**parts) as server:
        begun = (await _chat(server, "new", "a " * 30)).json()["conversation_id"]
        answer = (await _chat(server, begun, "a " * 30)).json()
        sent = server.engine.bodies("/v1/chat/completions")[-1]["messages"]
        assert sum(len(one["content"].split()) for one in sent) <= 40
        assert answer["dropped_messages"] == 3 - len(sent) > 0


async def test_a_conversation_that_is_full_is_told_so(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = (await _chat(server, "new", "France?")).json()["conversation_id"]
    for name, bound in (("MOST_MESSAGES", 3), ("MOST_BYTES", 50)):
        with monkeypatch.context() as patched:
            patched.setattr(kept, name, bound)
            refused = await _chat(server, begun, "Italy?")
            assert refused.status_code == 400
            assert refused.json()["error"]["message"] == (
                'conversation_id: the conversation is full; begin a new one with "new"'
            )
    assert (await _chat(server, begun, "Italy?")).status_code == 200


async def test_where_none_is_kept_a_sentence_says_what_to_configure(
    database_config: DatabaseConfig, tmp_path: Path
) -> None:
    whole = {"auth": _auth(tmp_path), "database": database_config, "history": HistoryConfig()}
    for lacking in ("auth", "history"):
        parts = {name: part for name, part in whole.items() if name != lacking}
        async with running(**parts) as server:
            refused = await _chat(server, "new", "France?")
            assert refused.status_code == 400
            assert refused.json()["error"]["param"] == "conversation_id"
            message = refused.json()["error"]["message"]
            assert "have history, database and auth written in the server's" in message
            assert (await _read(server))[0] == 404


async def test_who_is_nobody_has_none(database_config: DatabaseConfig, tmp_path: Path) -> None:
    auth = _auth(tmp_path, anonymous=True)
    parts = {"auth": auth, "database": database_config, "history": HistoryConfig()}
    async with running(**parts) as server:
        for answer in (
            await _chat(server, "new", "France?", by=None),
            await server.client.get("/api/conversations"),
        ):
            assert answer.status_code == 403
            assert "belongs to a user; show a key" in answer.json()["error"]["message"]


@pytest.mark.parametrize("odd", ["", "x" * 65, 7, ["new"]])
async def test_what_is_no_id_is_refused(server: Running, odd: Any) -> None:
    refused = await _chat(server, odd, "France?")
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "conversation_id"


async def test_an_id_and_words_of_a_client_do_no_harm(server: Running) -> None:
    for hostile in ("' OR 1=1 --", "\x00", "%00", "../../x", "new "):
        refused = await _chat(server, hostile, "x")
        assert refused.status_code == 400
        assert refused.json()["error"]["message"].startswith("conversation_id: ")
    assert (await _read(server, "/%00"))[0] == 400
    words = "'; DROP TABLE messages; -- \x00 \u2028 é"
    begun = (await _chat(server, "new", words)).json()["conversation_id"]
    assert (await _messages(server, begun))[0] == _said(words)
