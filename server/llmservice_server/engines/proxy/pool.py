"""The connections to one upstream: those that are free are used again, the last one first.

Promises: a request goes out on a connection that was not seen to end, and never a second time; what
is free is bounded in number and in time.
"""

import asyncio

from llmservice_server.engines.proxy.connection import Answer, Connection
from llmservice_server.engines.proxy.dial import Dial

# Below the 5 s after which uvicorn, and so vLLM, closes a connection that is idle: a request that
# meets the closing one is lost, and not sent again to the same upstream.
_KEPT = 4.0  # seconds
_MOST = 1024


class Pool:
    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._free: dict[Connection, float] = {}  # since when, the longest first
        self._sweeping: asyncio.TimerHandle | None = None

    async def ask(self, *request: bytes, seconds: float, fresh: bool = False) -> Answer:
        """What comes of this request; fresh: on a connection of its own, which cannot be stale.

        Raises:
            UnreachableError: no connection came about in so many seconds.
            BrokenError: a proxy on the way lets nothing through.
        """
        while self._free and not fresh:
            connection, since = self._free.popitem()
            if asyncio.get_running_loop().time() - since < _KEPT and connection.lives:
                return connection.ask(*request)
            connection.end()
        connection = await self._dial.open(lambda: Connection(self._keep, self._forget), seconds)
        return connection.ask(*request)

    def close(self) -> None:
        """End what is free."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        while self._free:
            self._free.popitem()[0].end()

    def _keep(self, connection: Connection) -> None:
        if len(self._free) >= _MOST:
            connection.end()
            return
        loop = asyncio.get_running_loop()
        self._free[connection] = loop.time()
        if self._sweeping is None:
            self._sweeping = loop.call_later(_KEPT, self._sweep)

    def _forget(self, connection: Connection) -> None:
        self._free.pop(connection, None)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        for connection, since in list(self._free.items()):
            if since > loop.time() - _KEPT:
                self._sweeping = loop.call_at(since + _KEPT, self._sweep)
                return
            del self._free[connection]
            connection.end()
        self._sweeping = None
