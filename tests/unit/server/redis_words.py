"""What tests say to a Redis beside the server."""

import asyncio
from typing import Any

from llmservice_server.config.redis import address_of
from llmservice_server.gateway.toll.wire import Wire

from dev.redis import Redis


async def say(server: Redis, *words: bytes | str | int) -> Any:
    wire = Wire(address_of(server.url), 5)
    try:
        return await wire.call(*words)
    finally:
        wire.close()
        await asyncio.sleep(0)
