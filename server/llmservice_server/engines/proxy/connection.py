"""One connection to an upstream: requests go out one at a time, and each one's answer comes in.

Promises: what comes is the answer to the one request that is out, or the connection ends; no more
of it waits to be taken than a bound, beyond which the upstream is held back; an answer that is cut,
or that says one length and has another, never looks whole; the connection is free for another
request only once all of an answer came, and nothing behind it. Knows no address and no clock.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

_HELD = 1 << 15  # bytes that wait for a slow client, and what one read of the socket brings
_SMALL = 1 << 14  # bytes
_LONGEST_HEAD = 1 << 16  # bytes in a row that are none of a body: heads, early ones, chunks' ends
_EMPTY = frozenset({204, 304})


class BrokenError(Exception):
    """No answer, or not the whole one. The text is for our log."""


class Answer:
    """What came of it so far; it outlives its connection's use for it."""

    __slots__ = ("_connection", "_fault", "_held", "_news", "headers", "status", "whole")

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._held = bytearray()
        self._news: asyncio.Future[None] | None = None
        self._fault: BrokenError | None = None
        self.status = 0
        """Once it has begun; an early one, as 103, is none."""
        self.headers: dict[bytes, bytes] = {}
        """By their lower-case names; of several the first."""
        self.whole = False

    @property
    def ended(self) -> bool:
        """Whether all of it was taken."""
        return self.whole and not self._held and self._fault is None

    async def begun(self) -> None:
        """Wait for its head.

        Raises:
            BrokenError: none came.
        """
        while not self.status:
            await self._change()

    async def piece(self) -> bytes:
        """What came since; empty at its end.

        Raises:
            BrokenError: no more comes, and that was not all.
        """
        while not self._held and not self.ended:
            await self._change()
        piece = bytes(self._held)
        self._held.clear()
        self._connection.taken(self)
        return piece

    def close(self) -> None:
        """End what still comes. Of a whole answer nothing does."""
        self._connection.left(self)

    @property
    def waiting(self) -> int:
        """Bytes that came and were not taken."""
        return len(self._held)

    def came(self, piece: bytes) -> None:
        self._held += piece

    def breaks(self, why: str) -> None:
        self._fault = BrokenError(why)
        self.changed()

    def changed(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _change(self) -> None:
        if self._fault is not None:
            raise self._fault
        self._news = asyncio.get_running_loop().create_future()
        await self._news


class Connection(asyncio.Protocol):
    """free: called when another request may go out. lost: when none can any more."""

    def __init__(
        self, free: Callable[["Connection"], None], lost: Callable[["Connection"], None]
    ) -> None:
        self._free, self._lost = free, lost
        self.transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        # What servers of old send, and clients have always read.
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._answer: Answer | None = None  # to the request that is out
        self._bare = 0  # bytes in a row that were none of a body
        self._lasts = self._open_ended = self._paused = False

    @property
    def lives(self) -> bool:
        return not self.transport.is_closing()

    def ask(self, *request: bytes) -> Answer:
        self._answer = answer = Answer(self)
        self._bare = 0
        if len(request[-1]) < _SMALL:
            self.transport.write(b"".join(request))  # less to copy than a list costs
        else:
            self.transport.writelines(request)
        return answer

    def end(self) -> None:
        """At once, with what is still to be sent."""
        self._answer = None
        self.transport.abort()

    def taken(self, answer: Answer) -> None:
        """Nothing of the answer waits any more."""
        if self._paused and answer is self._answer:
            self._paused = False
            self.transport.resume_reading()

    def left(self, answer: Answer) -> None:
        """Nobody waits for the rest of the answer."""
        if answer is self._answer:
            self.end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:  # nobody asked: it says why it closes, or is of no use
            self.end()
            return
        self._bare += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._breaks(f"no HTTP/1.1: {error}")
            return
        if answer.whole:
            self.taken(answer)  # as far as the upstream is concerned
            self._answer = None
            if self._lasts and not self.transport.get_write_buffer_size():
                self._free(self)
            else:
                self.end()
        elif self._bare > _LONGEST_HEAD:
            self._breaks(f"more than {_LONGEST_HEAD} bytes without any of a body")
        elif answer.waiting > _HELD and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        answer.changed()

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.whole:
            raise BrokenError("it answers once more")

    def on_header(self, name: bytes, value: bytes) -> None:
        answer = self._answer
        if answer is not None and not answer.status:  # a trailer is no header
            answer.headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        answer, status = self._answer, self._parser.get_status_code()
        if answer is None or status < 200:
            if answer is not None:
                answer.headers.clear()
            return
        answer.status = status
        self._lasts = self._parser.should_keep_alive()
        coding = answer.headers.get(b"transfer-encoding", b"").lower()
        self._open_ended = b"content-length" not in answer.headers and b"chunked" not in coding

    def on_body(self, piece: bytes) -> None:
        self._bare = 0
        if self._answer is not None:
            self._answer.came(piece)

    def on_message_complete(self) -> None:
        if self._answer is not None and self._answer.status:
            self._answer.whole = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(self)
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if exc is None and answer.status and self._open_ended:
            answer.whole = True
            answer.changed()
        else:
            answer.breaks(f"the connection ended: {exc or 'closed'}")

    def _breaks(self, why: str) -> None:
        answer = self._answer
        self.end()
        if answer is not None:
            answer.breaks(why)
