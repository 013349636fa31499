"""Which upstream a model is asked of, and which models there are."""

import asyncio
from typing import Any

import pytest
from llmservice_server.config import TracingConfig
from llmservice_server.engines.proxy import upstreams

from tests.collector import collecting
from tests.unit.server.proxy.proxied import CHAT, chat, error_of, proxied, to
from tests.unit.server.proxy.upstream_double import (
    answer,
    completion,
    endless,
    listing,
    upstream,
)
from tests.unit.server.small_engine import until


async def test_a_model_is_asked_for_where_it_is_served() -> None:
    async with (
        upstream(completion("from a")) as a,
        upstream(completion("from b")) as b,
        proxied(to(a.url, "one"), to(b.url, "two")) as client,
    ):
        for model, text in (("one", "from a"), ("two", "from b")):
            answered = await client.post(CHAT, json=chat(model))
            assert answered.json()["choices"][0]["message"]["content"] == text
        assert [s.path for s in a.seen] == [CHAT]


async def test_the_models_are_the_union_in_openais_shape() -> None:
    async with (
        upstream() as a,
        proxied(to(a.url, "one", "both"), to(a.url, "both", "two")) as client,
    ):
        listed = (await client.get("/v1/models")).json()
        assert listed["object"] == "list"
        assert [model["id"] for model in listed["data"]] == ["one", "both", "two"]
        assert {"id", "object", "created", "owned_by"} == set(listed["data"][0])
        assert (await client.get("/v1/models/two")).json()["id"] == "two"
        assert error_of(await client.get("/v1/models/three"))["code"] == "model_not_found"


async def test_an_unknown_model_is_404_with_the_models_there_are() -> None:
    async with upstream() as a, proxied(to(a.url, "one", "two")) as client:
        answered = await client.post(CHAT, json=chat("three"))
        error = error_of(answered)
        assert (answered.status_code, error["code"]) == (404, "model_not_found")
        assert "`three`" in error["message"]
        assert "`one`, `two`" in error["message"]
        assert not a.seen


async def test_without_names_an_upstreams_own_list_counts() -> None:
    async with upstream(models=listing("own", "other")) as a, proxied({"url": a.url}) as client:
        assert [m["id"] for m in (await client.get("/v1/models")).json()["data"]] == [
            "own",
            "other",
        ]
        assert (await client.post(CHAT, json=chat("own"))).status_code == 200


@pytest.mark.parametrize("status", [302, 403, 404, 429])
async def test_what_an_upstream_listed_it_has_until_it_lists_something_else(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for often in ("_LISTED_EVERY", "_UNLISTED_EVERY"):
        monkeypatch.setattr(upstreams, often, 0.05)
    async with upstream(models=listing("own")) as a, proxied({"url": a.url}) as client:
        assert (await client.post(CHAT, json=chat("own"))).status_code == 200
        a.models, looks = answer(status, b"{}"), a.looks
        await until(lambda: a.looks > looks + 1)
        assert (await client.post(CHAT, json=chat("own"))).status_code == 200


async def test_the_least_busy_for_its_weight_is_asked() -> None:
    async with (
        upstream(endless()) as light,
        upstream(endless()) as heavy,
        proxied(to(light.url, weight=1), to(heavy.url, weight=3)) as client,
    ):
        asked = [asyncio.create_task(client.post(CHAT, json=chat())) for _ in range(8)]
        await until(lambda: len(light.seen) + len(heavy.seen) == 8)
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        assert (len(light.seen), len(heavy.seen)) == (2, 6)


async def test_idle_upstreams_take_turns() -> None:
    async with upstream() as a, upstream() as b, proxied(to(a.url), to(b.url)) as client:
        for _ in range(6):
            await client.post(CHAT, json=chat())
        assert (len(a.seen), len(b.seen)) == (3, 3)


async def test_a_span_tells_the_model_by_the_name_that_clients_have_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    asked: list[tuple[str, dict[str, Any], str]] = [
        (CHAT, chat("two"), "chat two"),
        (CHAT, chat("nick"), "chat nick"),
        (CHAT, chat("a-clients-words"), "chat"),
        ("/inference", {"prompt": "x"}, "text_completion one"),
        ("/predict", {"prompt": "x", "model": "nick"}, "text_completion nick"),
        ("/stream?prompt=x&model=two", {}, "text_completion two"),
    ]
    with collecting() as collector:
        tracing = TracingConfig(otlp_endpoint=collector.url)
        async with (
            upstream() as a,
            proxied(to(a.url, "one", "two", "nick=real"), tracing=tracing) as client,
        ):
            for number, (path, body, name) in enumerate(asked):
                await client.request("POST" if body else "GET", path, json=body or None)
                await until(lambda number=number: len(collector.spans) > number)
                assert collector.spans[-1].name == name
