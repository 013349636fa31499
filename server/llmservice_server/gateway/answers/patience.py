"""Redis, asked only as long as it serves.

Promises that one which stalls holds up three requests, and then one in two seconds; each for as
long as the wire waits.
"""

import time
from typing import Any, Self

from llmservice_server import secret
from llmservice_server.config import Place
from llmservice_server.config.redis import address_of
from llmservice_server.gateway.toll.wire import RedisDownError, RedisRefusedError, Wire, Word

SECONDS = 0.1
"""What a request waits for Redis at most."""
_TOLERATED = 3  # failures in a row
_PAUSE = 2.0  # seconds


class Patience:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._failures, self._again = 0, 0.0

    @classmethod
    def of(cls, url: Place) -> Self:
        """For the Redis at this address.

        Raises:
            ConfigError: it is not there, or none.
        """
        return cls(Wire(address_of(secret.read_line(url, "redis.url")), SECONDS))

    def start(self) -> None:
        """Connect, before a request has to wait for it."""
        self._wire.start()

    async def call(self, *words: Word) -> Any:
        """As `Wire.call`, and RedisDownError at once where it did not serve a moment ago."""
        if self._failures >= _TOLERATED:
            if time.monotonic() < self._again:
                raise RedisDownError("did not serve a moment ago")
            self._again = time.monotonic() + _PAUSE
        try:
            reply = await self._wire.call(*words)
        except RedisDownError:
            self._failures += 1
            if self._failures == _TOLERATED:
                self._again = time.monotonic() + _PAUSE
            raise
        except RedisRefusedError:
            self._failures = 0
            raise
        self._failures = 0
        return reply

    def close(self) -> None:
        self._wire.close()
