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
