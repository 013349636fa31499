"""What the client promises about the moment in which a write is sent."""

import asyncio
import ssl
import sys
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from llmservice_operator.client import UNREADABLE, ApiError, Client
from llmservice_operator.connection import Connection
from llmservice_operator.kinds import LEASE, POD
from llmservice_operator.leader import NotLeadingError

from tests.unit.controller.loopback import serving


def _at_once(sending: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
    """As Python 3.12 and later begin a task in which bytes are sent."""
    with pytest.raises(StopIteration):
        sending.send(None)
    done = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


@pytest.mark.parametrize("eager", [False, True])
async def test_a_leader_deposed_until_the_bytes_leave_sends_no_write_but_the_lease(
    eager: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if eager and sys.version_info < (3, 12):
        tasks = SimpleNamespace(**{**vars(asyncio), "create_task": _at_once})
        monkeypatch.setattr("aiohttp.client_reqrep.asyncio", tasks)
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
        for patch in ({"spec": {}}, {}):
            with pytest.raises(NotLeadingError):
                await client.merge(POD, "ns", "late", patch)
        await client.merge(LEASE, "ns", "lease", {"spec": {}})
        await client.get(POD, "ns", "read")
        await client.close()
    assert received == ["led", "lease", "read"]


_ODD = [b"caf\xe9 \xff", b"", b"null", b"[]", b'"text"', b"[" * 100_000]
_DETAILS = [b"null", b'"text"', b"{}", b'{"causes": null}', b'{"causes": [null]}', b'{"causes": 1}']


@pytest.mark.parametrize("body", [*_ODD, *(b'{"details": %s}' % each for each in _DETAILS)])
async def test_whatever_a_proxy_answers_in_place_of_the_server_is_an_api_error(body: bytes) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=502 if request.path.endswith("refused") else 200, body=body)

    async with serving(answer) as address:
        client = Client(Connection(address, ssl.create_default_context()), lambda: None)
        with pytest.raises(ApiError) as refused:
            await client.get(POD, "ns", "refused")
        assert refused.value.code == 502
        if body in _ODD:
            with pytest.raises(ApiError) as unreadable:
                await client.get(POD, "ns", "read")
            assert (unreadable.value.code, unreadable.value.reason) == (0, UNREADABLE)
        await client.close()


async def test_only_a_list_without_it_says_that_something_is_gone() -> None:
    answers: list[tuple[int, object]] = [
        (404, "404 page not found"),
        (200, {"metadata": {"resourceVersion": "7"}, "items": []}),
        (200, {"metadata": {"resourceVersion": "8"}, "items": [{"metadata": {"uid": "other"}}]}),
        (200, {"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {"uid": "u"}}]}),
    ]
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(f"{request.path} {request.query['fieldSelector']}")
        status, body = answers[len(asked) - 1]
        return web.json_response(body, status=status)

    async with serving(answer) as address:
        client = Client(Connection(address, ssl.create_default_context()), lambda: None)
        with pytest.raises(ApiError):
            await client.there(POD, "ns", "x", "u")
        assert [await client.there(POD, "ns", "x", "u") for _ in range(3)] == [False, False, True]
        await client.close()
    assert asked == ["/api/v1/namespaces/ns/pods metadata.name=x"] * 4


async def test_a_token_that_cannot_be_read_is_an_api_error(tmp_path: Path) -> None:
    tls = ssl.create_default_context()
    client = Client(Connection("http://127.0.0.1:1", tls, tmp_path / "none"), lambda: None)
    with pytest.raises(ApiError, match="No such file") as error:
        await client.get(LEASE, "ns", "lease")
    assert error.value.unanswered
    await client.close()
