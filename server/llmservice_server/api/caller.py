"""Whoever asks: what of a request goes on with each call for it, and whether somebody waits."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import Request

from llmservice_server.gateway.asgi import Receive

# What says who asks, and as part of what; anything else is for the outer request alone.
_PASSED_ON = frozenset({b"authorization", b"traceparent", b"tracestate"})
_REQUEST_ID = b"x-request-id"


def passed_on(request: Request, part: int | None = None) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of a call for this request; of several calls, each has an id of its own."""
    suffix = b"" if part is None else b"-%d" % part
    return tuple(
        (name, value + suffix if name == _REQUEST_ID else value)
        for name, value in request.scope["headers"]
        if name in _PASSED_ON or name == _REQUEST_ID
    )


@asynccontextmanager
async def departure(receive: Receive) -> AsyncGenerator[asyncio.Event]:
    """Set when the client leaves. The request's body must have been read."""
    gone = asyncio.Event()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watching = asyncio.create_task(watch())
    try:
        yield gone
    finally:
        watching.cancel()
