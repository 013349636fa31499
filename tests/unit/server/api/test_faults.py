"""Faults of our own: told in OpenAI's shape, logged, and no place of the engine's is lost."""

import asyncio

import pytest
from llmservice_server.api import inference
from llmservice_server.api.together import together
from llmservice_server.gateway.turns import Turns

from tests.unit.server.api.openai_engine import running


async def test_what_nobody_expected_is_answered_in_openais_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(inference, "continued", fail)
    async with running() as server:
        answer = await server.client.post("/inference", json={"prompt": "x"})
        assert answer.status_code == 500
        error = answer.json()["error"]
        assert error["type"] == "internal_server_error"
        assert "log says why" in error["message"]
        assert server.context.turns.running == 0


@pytest.mark.parametrize("waits", [False, True])
async def test_a_batch_that_fails_gives_all_its_places_back(waits: bool) -> None:  # noqa: FBT001
    async def do(part: int) -> None:
        if waits:
            await asyncio.sleep(0)
        raise RuntimeError(part)

    turns = Turns(4)
    assert turns.begin()  # the request's own
    with pytest.raises(ExceptionGroup):
        await together(3, 3, turns, do)
    assert turns.running == 1
