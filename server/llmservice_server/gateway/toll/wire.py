"""One connection to Redis, on which calls are written as they come and answered in their order.

Promises that no call waits longer than its time, whether Redis is down, stalls or is far: then the
connection is closed, all that wait on it fail at once, and the next call makes a new one. A call
that failed may have been done or may still be. Nothing is sent twice. No error repeats an address'
password. A pool of connections, as redis-py has, takes three times as much of the processor.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis

from llmservice_server.config.redis import Address

_GRACE = 0.005  # seconds
_CONNECT_SECONDS = 2.0  # which no call waits for
Word = bytes | str | int
_pack: Callable[[tuple[Word, ...]], bytes] = cast("Any", hiredis).pack_command


class RedisDownError(Exception):
    """It cannot be reached, did not answer in time, or cannot serve; in words without secrets."""


class RedisRefusedError(Exception):
    """It answered with an error."""


class _Connection(asyncio.Protocol):
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._reader = hiredis.Reader()
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._late: asyncio.Future[Any] | None = None
        self.fault: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's name
        self.fail("closed the connection")

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while self._waiting and (reply := self._reader.gets()) is not False:
                future = self._waiting.popleft()[1]
                if not future.done():
                    future.set_result(reply)
        except hiredis.ProtocolError:
            self.fail("does not speak as Redis does")

    def call(self, words: tuple[Word, ...]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.fault or self._transport is None:
            future.set_exception(RedisDownError(self.fault or "is not connected"))
            return future
        self._waiting.append((self._loop.time() + self._seconds, future))
        self._transport.write(_pack(words))
        if self._watch is None:
            self._watch = self._loop.call_later(self._seconds, self._look)
        return future

    def fail(self, why: str) -> None:
        self.fault = self.fault or why
        if self._watch:
            self._watch.cancel()
        if self._transport:
            self._transport.abort()
        while self._waiting:
            future = self._waiting.popleft()[1]
            if not future.done():
                future.set_exception(RedisDownError(self.fault))

    def _look(self) -> None:
        """Whether the first one waits for too long. Where it does, what has come meanwhile is read
        before it is believed: it may be this process that was held up.
        """
        self._watch = None
        if not self._waiting:
            return
        deadline, first = self._waiting[0]
        rest = deadline - self._loop.time()
        if rest <= 0 and self._late is first:
            self.fail(f"did not answer in {round(self._seconds * 1000)} ms")
            return
        self._late = first if rest <= 0 else None
        self._watch = self._loop.call_later(max(rest, _GRACE), self._look)


class Wire:
    """``seconds``: what a call may take, waiting for a connection included."""

    def __init__(self, address: Address, seconds: float) -> None:
        self._address, self._seconds = address, seconds
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None

    def start(self) -> None:
        """Connect, so that no call has to wait for it; how it went the first one finds out."""
        self._begun()

    async def call(self, *words: Word) -> Any:
        """What Redis answers.

        Raises:
            RedisDownError: it cannot be known what it would have answered.
            RedisRefusedError: it answered with an error.
        """
        connection = self._connection
        if connection is None or connection.fault:
            connection = await self._connected()
        reply = await connection.call(words)
        if isinstance(reply, hiredis.ReplyError):
            raise RedisRefusedError(str(reply))
        return reply

    def close(self) -> None:
        if self._connecting:
            self._connecting.cancel()
        if self._connection:
            self._connection.fail("was left")

    async def _connected(self) -> _Connection:
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(self._begun())
        except TimeoutError:
            raise RedisDownError("cannot be reached in time") from None

    def _begun(self) -> asyncio.Task[_Connection]:
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._made)
        return self._connecting

    def _made(self, connecting: asyncio.Task[_Connection]) -> None:
        self._connecting = None
        if not connecting.cancelled() and connecting.exception() is None:
            self._connection = connecting.result()

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                connection = await self._open()
                said = [connection.call(words) for words in self._address.hello]
                for reply in await asyncio.gather(*said):
                    if isinstance(reply, hiredis.ReplyError):
                        connection.fail("let us not in")
                        raise RedisDownError(f"lets us not in: {str(reply).partition(' ')[0]}")
        except TimeoutError:
            raise RedisDownError("cannot be reached in time") from None
        except OSError as error:
            raise RedisDownError(f"cannot be reached: {error.strerror or error}") from None
        return connection

    async def _open(self) -> _Connection:
        def made() -> _Connection:
            return _Connection(self._seconds)

        loop, at = asyncio.get_running_loop(), self._address
        if at.path:
            return (await loop.create_unix_connection(made, at.path))[1]
        tls = ssl.create_default_context() if at.tls else None
        return (await loop.create_connection(made, at.host, at.port, ssl=tls))[1]
