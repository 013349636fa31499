"""What the client promises about the moment in which a write is sent."""

import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from llmservice_operator.client import Client
from llmservice_operator.connection import Connection
from llmservice_operator.kinds import LEASE, POD
from llmservice_operator.leader import NotLeadingError

from tests.unit.controller.loopback import serving


async def test_a_leader_deposed_until_the_bytes_leave_sends_no_write_but_the_lease() -> None:
    received: list[str] = []
    deposed = False

    async def answer(request: web.Request) -> web.Response:
        received.append(request.path.rpartition("/")[2])
        return web.json_response({})

    def may_write() -> None:
        if deposed:
            raise NotLeadingError

    async def depose(*heard: Any) -> None:
        nonlocal deposed
        deposed = deposed or heard[-1].url.name == "late"

    last = aiohttp.TraceConfig()
    last.on_request_headers_sent.append(depose)  # rather: are ready to be sent with the body
    async with serving(answer) as address:
        connection = Connection(address, ssl.create_default_context())
        client = Client(connection, may_write, traces=[last])
        await client.merge(POD, "ns", "led", {"spec": {}})
        with pytest.raises(NotLeadingError):
            await client.merge(POD, "ns", "late", {"spec": {}})
        await client.merge(LEASE, "ns", "lease", {"spec": {}})
        await client.get(POD, "ns", "read")
        await client.close()
    assert received == ["led", "lease", "read"]
