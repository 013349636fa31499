"""What of a conversation reaches the model."""

from typing import Any

import pytest
from llmservice_server.api.window import Said, certainly, estimate, fitting, newest
from llmservice_server.config import ApiConfig

from tests.unit.server.api.openai_engine import OpenAIEngine, Running, running


def _talk(turns: int, words: int = 1, *, system: bool = True) -> list[dict[str, str]]:
    told = [{"role": "system", "content": "be brief"}] if system else []
    for turn in range(turns):
        role = "assistant" if turn % 2 else "user"
        told.append({"role": role, "content": " ".join([f"turn{turn}", *["x"] * (words - 1)])})
    return told


async def _sent(server: Running, messages: list[dict[str, str]], **more: Any) -> list[Any]:
    answer = await server.client.post("/api/chat", json={"messages": messages, **more})
    assert answer.status_code == 200, answer.text
    sent = server.engine.bodies("/v1/chat/completions")[-1]["messages"]
    assert answer.json()["dropped_messages"] == len(messages) - len(sent)
    return sent


async def test_a_short_conversation_is_sent_as_it_is_without_counting() -> None:
    async with running() as server:
        asked = _talk(3)
        answer = await server.client.post("/api/chat", json={"messages": asked})
        assert answer.json() == {
            "message": {"role": "assistant", "content": " Paris."},
            "model": "small",
            "finish_reason": "stop",
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
            "dropped_messages": 0,
        }
        (sent,) = server.engine.bodies("/v1/chat/completions")
        assert sent == {"messages": asked, "model": "small"}


async def test_the_newest_messages_stay_and_the_system_s_and_it_begins_with_the_user() -> None:
    async with running(on=ApiConfig(max_context_messages=4)) as server:
        talk = _talk(9)
        sent = await _sent(server, talk)
        assert sent == [talk[0], *talk[-3:]]  # the fourth was the assistant's
        assert await _sent(server, _talk(4)) == _talk(4)


async def test_twenty_is_the_default() -> None:
    async with running() as server:
        talk = _talk(31)
        assert await _sent(server, talk) == [talk[0], *talk[-19:]]


@pytest.mark.parametrize("tokenizes", [True, False])
async def test_what_exceeds_the_models_context_goes_oldest_first(tokenizes: bool) -> None:  # noqa: FBT001
    async with running(OpenAIEngine(tokenizes=tokenizes)) as server:
        talk = _talk(9, words=30)
        sent = await _sent(server, talk)
        assert sent[0] == talk[0]
        assert 2 <= len(sent) < len(talk)
        assert sent[1:] == talk[-len(sent) + 1 :]
        counted = sum(len(message["content"].split()) for message in sent)
        assert counted <= 100  # of 200, half is kept for the answer
        if tokenizes:
            assert counted + 60 > 100  # and no more is left out than must be
        assert len(server.engine.bodies("/tokenize")) <= 5


async def test_an_answer_of_a_length_keeps_room_for_itself() -> None:
    async with running() as server:
        long = await _sent(server, _talk(9, words=20), max_tokens=10)
        short = await _sent(server, _talk(9, words=20), max_tokens=100)
        assert len(long) > len(short)


async def test_the_last_message_is_always_sent_and_the_engine_refuses_it_in_its_words() -> None:
    async with running() as server:
        sent = await _sent(server, [*_talk(2), *_talk(1, words=500, system=False)])
        assert [message["role"] for message in sent] == ["system", "user"]


async def test_a_model_of_which_no_length_is_known_gets_all() -> None:
    class Silent(OpenAIEngine):
        async def _models(self) -> Any:
            return {"data": [{"id": "small"}]}

    async with running(Silent()) as server:
        talk = _talk(9, words=100)
        assert await _sent(server, talk) == talk
        assert server.engine.bodies("/tokenize") == []


@pytest.mark.parametrize(
    "messages",
    [
        [],
        "hello",
        [{"role": "user"}],
        [{"role": "tool", "content": "x"}],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": None}],
    ],
)
async def test_what_is_no_conversation_is_refused_with_a_sentence(messages: Any) -> None:
    async with running() as server:
        answer = await server.client.post("/api/chat", json={"messages": messages})
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith("messages")


def _said(*texts: str) -> list[Said]:
    return [Said(role="user", content=text) for text in texts]


async def test_the_most_that_fits_is_found_whatever_it_is() -> None:
    for total in range(1, 24):
        talk = _said(*(str(number) for number in range(total)))
        for limit in range(1, total + 1):
            questions = 0

            async def fits(tried: list[Said], limit: int = limit) -> bool:
                nonlocal questions
                questions += 1
                return len(tried) <= limit

            assert await fitting(talk, fits) == newest(talk, limit)
            assert questions <= 6


def test_estimates_are_on_the_safe_side() -> None:
    english = _said("The capital of France is Paris, and that of Italy is Rome. " * 20)
    assert estimate(english) > 280  # a token for each word and each mark
    assert certainly(english) > estimate(english)
