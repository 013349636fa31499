"""What the client promises about the moment in which a write is sent."""

import ssl

import pytest
from aiohttp import web
from llmservice_operator.client import Client
from llmservice_operator.connection import Connection
from llmservice_operator.kinds import LEASE, POD
from llmservice_operator.leader import NotLeadingError

from tests.unit.controller.loopback import serving


async def test_a_leader_deposed_while_it_connects_sends_no_write_but_the_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    received: list[str] = []
    deposed = False

    async def answer(request: web.Request) -> web.Response:
        received.append(request.path.rpartition("/")[2])
        return web.json_response({})

    def may_write() -> None:
        if deposed:
            raise NotLeadingError

    async with serving(answer) as address:
        client = Client(Connection(address, ssl.create_default_context()), may_write)
        connect = client.connector.connect

        async def connect_late(*args: object, **named: object) -> object:
            nonlocal deposed
            connection = await connect(*args, **named)  # pyright: ignore[reportArgumentType]
            deposed = True
            return connection

        await client.merge(POD, "ns", "led", {"spec": {}})
        monkeypatch.setattr(client.connector, "connect", connect_late)
        with pytest.raises(NotLeadingError):
            await client.merge(POD, "ns", "late", {"spec": {}})
        await client.merge(LEASE, "ns", "lease", {"spec": {}})
        await client.get(POD, "ns", "read")
        await client.close()
    assert received == ["led", "lease", "read"]
