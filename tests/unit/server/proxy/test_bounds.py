"""How much and how long the proxy reads from an upstream that has no end."""

import asyncio
import json

import pytest

from tests.unit.server.proxy.proxied import CHAT, chat, proxied, to
from tests.unit.server.proxy.upstream_double import Behaviour, endless, upstream
from tests.unit.server.small_engine import until

_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
_MUCH = b"x" * (1 << 18)
_TEXT = b'{"choices": [{"message": {"content": "'


@pytest.mark.parametrize(
    ("path", "status", "shape"),
    [
        ("/inference", 502, {"error"}),
        ("/stream", 502, {"error"}),
        ("/predict", 503, {"error", "message", "details", "timestamp", "request_id"}),
    ],
)
async def test_an_answer_without_an_end_is_refused_in_the_shape_of_the_route(
    path: str, status: int, shape: set[str]
) -> None:
    async with upstream(endless(0, _MUCH, _JSON, _TEXT)) as up, proxied(to(up.url)) as client:
        told = await client.post(path, json={"prompt": "x"})
        assert (told.status_code, told.json().keys()) == (status, shape)
        await until(lambda: up.left == 1)


async def test_an_event_without_an_end_ends_its_stream_with_an_error() -> None:
    async with upstream(endless(0, _MUCH, _STREAM, b"data: ")) as up, proxied(to(up.url)) as client:
        told = await client.post("/stream", json={"prompt": "x"})
        (event,) = told.text.split("\n\n")[:-1]
        assert json.loads(event.removeprefix("data: "))["error"]["code"] == "engine_error"
        await until(lambda: up.left == 1)


@pytest.mark.parametrize(
    ("behave", "stream"),
    [
        (endless(0.05, b"x", _JSON, _TEXT), False),
        (endless(0.05, b"x", _STREAM, b"data: "), True),
    ],
)
async def test_what_comes_a_byte_at_a_time_has_the_time_of_what_does_not_come(
    behave: Behaviour,
    stream: bool,  # noqa: FBT001
) -> None:
    async with (
        upstream(behave) as up,
        proxied(to(up.url), firstByteSeconds=0.4, idleSeconds=0.4) as client,
    ):
        told = await client.post(CHAT, json=chat(stream=stream))
        assert told.status_code == (200 if stream else 504)
        assert json.loads(told.text.removeprefix("data: "))["error"]["code"] == "upstream_timeout"
        await until(lambda: up.left == 1)


async def test_a_list_of_models_without_an_end_makes_nobody_ready() -> None:
    read = 0
    ended = asyncio.Event()

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal read
        writer.writelines([_JSON, b'{"data": ["'])
        try:
            while read < 1 << 28:
                writer.write(_MUCH)
                await writer.drain()
                read += len(_MUCH)
        finally:
            ended.set()

    async with upstream(models=flood) as up, proxied({"url": up.url}, ready=False) as client:
        async with asyncio.timeout(5):
            await ended.wait()
        assert read < 1 << 25  # with what the kernel holds on its way
        told = await client.get("/v1/models")
        assert (told.status_code, told.json()["error"]["code"]) == (503, "service_unavailable")
