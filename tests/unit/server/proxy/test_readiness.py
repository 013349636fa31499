"""When a proxy is ready, by what its upstreams say of themselves."""

import asyncio

from tests.unit.server.proxy.proxied import KEYED, nobody, proxied, to
from tests.unit.server.proxy.upstream_double import (
    answer,
    hang,
    listing,
    upstream,
)


async def test_ready_once_an_upstream_was_reached() -> None:
    async with (
        upstream(models=answer(503, b"")) as a,
        proxied(to(nobody()), to(a.url), ready=False) as client,
    ):
        await asyncio.sleep(0.2)
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200
        a.models = answer(404, b"")  # no such route, but it answers
        async with asyncio.timeout(5):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.05)
        assert not a.seen  # that cost no token


async def test_an_upstream_that_hangs_does_not_keep_the_others_from_being_ready() -> None:
    async with (
        upstream(models=hang()) as a,
        upstream(models=listing("n")) as b,
        asyncio.timeout(5),
        proxied({"url": a.url}, {"url": b.url}) as client,
    ):
        assert (await client.get("/v1/models")).json()["data"][0]["id"] == "n"


async def test_an_upstream_that_does_not_take_the_key_makes_nobody_ready() -> None:
    async with (
        upstream(models=answer(401, b"")) as a,
        proxied(to(a.url, **KEYED), ready=False) as client,
    ):
        await asyncio.sleep(0.3)
        assert (await client.get("/readyz")).status_code == 503


async def test_many_that_ask_before_an_upstream_answers_share_one_look() -> None:
    answers = asyncio.Event()

    async def late(writer: asyncio.StreamWriter) -> None:
        await answers.wait()
        await listing("m")(writer)

    async with upstream(models=late) as a, proxied({"url": a.url}, ready=False) as client:
        leaving, *asking = [asyncio.create_task(client.get("/v1/models")) for _ in range(20)]
        await asyncio.sleep(0.5)
        leaving.cancel()  # which takes nothing from the others
        await asyncio.sleep(0.1)
        answers.set()
        found = await asyncio.gather(*asking)
        assert {answered.json()["data"][0]["id"] for answered in found} == {"m"}
        assert a.looks == 1
