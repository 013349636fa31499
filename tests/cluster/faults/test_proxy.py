"""The proxy that all other tests of this folder stand on; no cluster is needed for it."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.cluster.faults.proxy import Proxy
from tests.unit.controller.loopback import serving

_CONFIG = """
current-context: x
clusters: [{name: c, cluster: {server: URL}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
"""


@pytest.mark.parametrize("healed", [False, True])
async def test_what_was_planned_for_a_write_on_its_way_never_happens_once_it_is_healed(
    tmp_path: Path, *, healed: bool
) -> None:
    arrived, answered, happened = asyncio.Event(), asyncio.Event(), list[str]()

    async def server(_: web.Request) -> web.Response:
        arrived.set()
        await answered.wait()
        return web.json_response({})

    kubeconfig = tmp_path / "kubeconfig"
    async with serving(server) as url, aiohttp.ClientSession() as session:
        kubeconfig.write_text(_CONFIG.replace("URL", url))
        with Proxy(kubeconfig).running() as proxy:
            proxy.at_write(1, lambda: happened.append("it died"), arrives=True)
            address = f"http://127.0.0.1:{proxy.port}/api/v1/namespaces/ns/services/x"
            write = asyncio.create_task(session.patch(address, json={}))
            await arrived.wait()
            if healed:
                proxy.heal()
            answered.set()
            assert (await write).status == 200
    assert happened == ([] if healed else ["it died"])
