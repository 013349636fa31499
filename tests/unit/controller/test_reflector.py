"""A watch that goes on whatever the server answers, against a server that answers anything."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from llmservice_operator import records, reflector
from llmservice_operator.client import ApiError, Client, Selection
from llmservice_operator.connection import Connection
from llmservice_operator.kinds import POD
from llmservice_operator.records import Pod
from llmservice_operator.reflector import Reflector

from tests.unit.controller.loopback import serving

_TOO_DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
_SPURIOUS: list[Any] = [
    b"<html>",
    _TOO_DEEP,
    b"[]",
    b'{"type":"ADDED"}',
    b'{"type":"ADDED","object":1}',
]


def _pod(name: str, version: int) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": name, "resourceVersion": str(version)}
    return {"kind": "Pod", "metadata": metadata}


class _Server:
    """Answers the first list and the first watch with what it is given, later ones in earnest."""

    def __init__(self, lists: bytes | None = None, watches: bytes | None = None) -> None:
        self._first = {"list": lists, "watch": watches}
        self.forbidden = 0  # so many requests are
        self.asked: Counter[str] = Counter()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        what = "watch" if "watch" in request.query else "list"
        self.asked[what] += 1
        if self.asked.total() <= self.forbidden:
            return web.json_response({"message": "cannot list resource"}, status=403)
        first, self._first[what] = self._first[what], None
        if first is not None:
            return web.Response(body=first + b"\n")
        if what == "watch":
            event = {"type": "ADDED", "object": _pod("later", 9)}
            return web.Response(body=json.dumps(event).encode() + b"\n")
        body = {"metadata": {"resourceVersion": "7"}, "items": [_pod("first", 5)]}
        return web.json_response(body)


class _Sink:
    def __init__(self) -> None:
        self.names: set[str] = set()
        self.refusals: list[str] = []
        self.complete = asyncio.Event()

    def put(self, record: Pod) -> None:
        self.names.add(record.ref.name)
        self.complete.set()

    def remove(self, record: Pod) -> None:
        raise AssertionError(record)

    def replace(self, records: list[Pod], version: int) -> None:
        self.names = {record.ref.name for record in records}

    def refused(self, why: str) -> None:
        self.refusals.append(why)


@pytest.fixture
async def serve() -> AsyncIterator[Any]:
    async with AsyncExitStack() as open_ones:

        async def made(server: _Server) -> Client:
            address = await open_ones.enter_async_context(serving(server.answer))
            client = Client(Connection(address, ssl.create_default_context()), lambda: None)
            open_ones.push_async_callback(client.close)
            return client

        yield made


@pytest.mark.parametrize("spurious", _SPURIOUS)
@pytest.mark.parametrize("to", ["lists", "watches"])
async def test_what_cannot_be_read_is_followed_by_a_list_and_a_watch_that_can(
    serve: Any, to: str, spurious: bytes
) -> None:
    sink = _Sink()
    reflecting = Reflector(
        await serve(_Server(**{to: spurious})), Selection(POD), records.pod, sink
    )
    running = asyncio.create_task(reflecting.run())

    await asyncio.wait_for(sink.complete.wait(), 10)

    assert sink.names == {"first", "later"}
    assert not running.done()
    running.cancel()


class _Silent(_Server):
    """Its first watch stays open and brings nothing."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query or self.asked["watch"]:
            return await super().answer(request)
        self.asked["watch"] += 1
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(30)
        return response


async def test_a_stream_that_falls_silent_is_cut_and_opened_again(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "SILENCE", 0.2)
    server, sink = _Silent(), _Sink()
    reflecting = Reflector(await serve(server), Selection(POD), records.pod, sink)
    running = asyncio.create_task(reflecting.run())
    await asyncio.wait_for(sink.complete.wait(), 10)
    running.cancel()
    assert server.asked["list"] == 1, "it goes on from where it was"


@pytest.mark.parametrize(("times", "told"), [(2, 0), (4, 2)])
async def test_a_right_that_is_missing_for_more_than_a_moment_is_told_until_it_is_there(
    serve: Any, times: int, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "FIRST_PAUSE", 0.01)
    server, sink = _Server(), _Sink()
    server.forbidden = times
    reflecting = Reflector(await serve(server), Selection(POD), records.pod, sink)
    running = asyncio.create_task(reflecting.run())

    await asyncio.wait_for(sink.complete.wait(), 10)

    running.cancel()
    assert sink.refusals == ["cannot list resource"] * told
    assert not reflecting.refused


async def test_streams_that_end_at_once_are_not_opened_again_at_once(serve: Any) -> None:
    server = _Server(watches=b"")
    reflecting = Reflector(await serve(server), Selection(POD), records.pod, _Sink())
    running = asyncio.create_task(reflecting.run())
    await asyncio.sleep(1)
    running.cancel()
    assert 2 <= server.asked["watch"] <= 5
    assert server.asked["list"] == 1, "it goes on from where it was"


@pytest.mark.parametrize("spurious", [b"<html>", _TOO_DEEP])
async def test_an_answer_that_cannot_be_read_is_an_error_of_the_api(
    serve: Any, spurious: bytes
) -> None:
    client = await serve(_Server(lists=spurious))
    with pytest.raises(ApiError, match="0 Unreadable"):
        await client.get(POD, "ns", "x")
