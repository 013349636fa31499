"""The routes beside OpenAI's, where the engine is the proxy."""

import json

import pytest

from tests.unit.server.proxy.proxied import proxied, to
from tests.unit.server.proxy.upstream_double import (
    CHUNK,
    DONE,
    answer,
    completion,
    endless,
    listing,
    stream,
    upstream,
)
from tests.unit.server.small_engine import until

_PROMPTS = {
    "/inference": ("prompt", "text"),
    "/api/v1/infer": ("prompt", "text"),
    "/predict": ("prompt", "generated_text"),
}


@pytest.mark.parametrize("path", _PROMPTS)
async def test_a_prompt_is_a_users_message_to_the_first_model(path: str) -> None:
    asked, answered = _PROMPTS[path]
    async with upstream(completion("Paris")) as up, proxied(to(up.url, "one", "two")) as client:
        told = (await client.post(path, json={asked: "France?"})).json()
        assert told[answered] == "Paris"
        assert up.seen[-1].path == "/v1/chat/completions"
        assert up.seen[-1].json["messages"] == [{"role": "user", "content": "France?"}]
        assert up.seen[-1].json["model"] == "one"
        await client.post(path, json={asked: "France?", "model": "two"})
        assert up.seen[-1].json["model"] == "two"


async def test_where_no_model_is_named_the_first_that_an_upstream_lists_is_meant() -> None:
    async with (
        upstream(completion(), listing("listed", "other")) as up,
        proxied({"url": up.url}) as client,
    ):
        assert (await client.post("/inference", json={"prompt": "x"})).status_code == 200
        assert up.seen[-1].json["model"] == "listed"
        info = (await client.get("/info")).json()
        assert (info["name"], info["models"]) == ("listed", ["listed", "other"])
        assert (info["engine"], info["source"], info["context_length"]) == ("proxy", None, None)
        assert (await client.get("/api/v1/model")).json()["model_name"] == "listed"


async def test_a_stream_comes_through_and_a_cut_one_is_not_complete() -> None:
    async with upstream(stream(CHUNK, DONE)) as up, proxied(to(up.url)) as client:
        asked = {"messages": [{"role": "user", "content": "x"}], "stream": True}
        text = (await client.post("/api/chat", json=asked)).text
        assert text.startswith('data: {"content":"w"}\n\n')
        assert text.endswith("data: [DONE]\n\n")
        up.behaviour = stream(CHUNK, whole=False)
        text = (await client.post("/api/chat", json=asked)).text
        assert '"error"' in text
        assert "[DONE]" not in text


@pytest.mark.parametrize("number", [b"NaN", b"1e999"])
async def test_a_number_that_json_has_not_ends_a_stream_as_an_error(number: bytes) -> None:
    odd = b'data: {"choices": [], "usage": {"total_tokens": %s}}\n\n' % number
    async with upstream(stream(CHUNK, odd, DONE)) as up, proxied(to(up.url)) as client:
        text = (await client.post("/stream", json={"prompt": "x"})).text
        *_, last, nothing = text.split("\n\n")
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "engine_error"
        assert nothing == ""


async def test_an_upstreams_refusal_has_the_shape_of_the_route() -> None:
    body = json.dumps({"error": {"message": "slow down", "type": "x", "code": "x"}}).encode()
    refusal = answer(429, body, "content-type: application/json", "retry-after: 9")
    async with upstream(refusal) as up, proxied(to(up.url)) as client:
        told = await client.post("/predict", json={"prompt": "x"})
        assert (told.status_code, told.json()["error"]) == (429, "rate_limited")
        assert told.headers["retry-after"] == "9"
        assert told.json()["request_id"] == told.headers["x-request-id"]


async def test_an_unknown_model_is_404_in_the_shape_of_the_route() -> None:
    async with upstream() as up, proxied(to(up.url, "one")) as client:
        for path, shape in (("/inference", {"error"}), ("/predict", {"details", "request_id"})):
            told = await client.post(path, json={"prompt": "x", "model": "none"})
            assert told.status_code == 404
            assert shape <= told.json().keys()


async def test_a_client_that_leaves_ends_the_upstreams_work() -> None:
    async with upstream(endless()) as up, proxied(to(up.url)) as client:
        async with client.stream("POST", "/stream", json={"prompt": "x"}) as got:
            await anext(got.aiter_lines())
            assert up.left == 0
        await until(lambda: up.left == 1, seconds=1)


async def test_a_conversation_of_an_unknown_context_is_cut_by_its_messages_alone() -> None:
    async with upstream() as up, proxied(to(up.url)) as client:
        talk = [{"role": "user", "content": "word " * 5000} for _ in range(30)]
        told = await client.post("/api/chat", json={"messages": talk})
        assert told.json()["dropped_messages"] == 10
        assert [seen.path for seen in up.seen] == ["/v1/chat/completions"]
