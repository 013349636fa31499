"""OpenAI's own client reads the proxy's answers and errors for what they are."""

import base64
import json
import struct
from typing import Any

import openai
import pytest

from tests.unit.server.proxy.proxied import proxied, to
from tests.unit.server.proxy.upstream_double import (
    CHUNK,
    DONE,
    Behaviour,
    answer,
    stream,
    upstream,
)

_COMPLETION = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Paris", "refusal": None},
        }
    ],
}


async def _ask(behave: Behaviour, model: str = "m", *, streamed: bool = False) -> Any:
    async with (
        upstream(behave) as a,
        proxied(to(a.url)) as client,
        openai.AsyncOpenAI(
            base_url=f"{client.base_url}/v1", api_key="none", max_retries=0
        ) as asking,
    ):
        messages: Any = [{"role": "user", "content": "Where?"}]
        if not streamed:
            return await asking.chat.completions.create(model=model, messages=messages)
        chunks = await asking.chat.completions.create(model=model, messages=messages, stream=True)
        return [chunk.choices[0].delta.content async for chunk in chunks]


async def test_answers() -> None:
    found = await _ask(answer(200, json.dumps(_COMPLETION).encode()))
    assert found.choices[0].message.content == "Paris"
    assert await _ask(stream(CHUNK, CHUNK, DONE), streamed=True) == ["w", "w"]


async def test_embeddings() -> None:
    """Which the client asks for in base64 and reads as numbers."""
    numbers = [0.5, -2.0]
    encoded = base64.b64encode(struct.pack("<2f", *numbers)).decode()
    embedding = {"object": "embedding", "index": 0, "embedding": encoded}
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    listed = {"object": "list", "model": "m", "data": [embedding], "usage": usage}
    async with (
        upstream(answer(200, json.dumps(listed).encode())) as a,
        proxied(to(a.url)) as client,
        openai.AsyncOpenAI(base_url=f"{client.base_url}/v1", api_key="none") as asking,
    ):
        found = await asking.embeddings.create(model="m", input=["Where?"])
    assert found.data[0].embedding == numbers
    assert found.usage.total_tokens == 3
    (seen,) = a.seen
    assert seen.path == "/v1/embeddings"
    assert seen.json == {"model": "m", "input": ["Where?"], "encoding_format": "base64"}


async def test_errors() -> None:
    with pytest.raises(openai.NotFoundError, match="`m`"):
        await _ask(stream(), model="other")
    with pytest.raises(openai.RateLimitError) as limited:
        await _ask(answer(429, b"{}", "retry-after: 7"))
    assert limited.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.InternalServerError):
        await _ask(answer(500, b"oops"))


@pytest.mark.parametrize("whole", [True, False])
async def test_a_broken_stream_is_an_error_and_no_short_answer(*, whole: bool) -> None:
    with pytest.raises(openai.APIError, match="upstream"):
        await _ask(stream(CHUNK, whole=whole), streamed=True)
