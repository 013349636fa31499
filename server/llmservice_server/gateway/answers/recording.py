"""An answer that is kept while it goes by.

Promises that nothing is held up or changed by it; that one which grows beyond its bound is let go
at once, and that all which are being kept together are no larger than theirs.
"""

import time

from llmservice_server.gateway.answers.recorded import Recorded, kept_headers
from llmservice_server.gateway.asgi import Message, Receive


class Recordings:
    """``most_each``: bytes of one answer; ``most``: of all that are not yet whole."""

    def __init__(self, most_each: int, most: int) -> None:
        self.most_each, self.most = most_each, most
        self.held = 0


class Recording:
    """``answer`` is there once it is whole. ``lost``: it is too large to be kept. ``left``: its
    client did, so that what is whole may be no answer.
    """

    __slots__ = ("_all", "_pieces", "_size", "_start", "answer", "left", "lost")

    def __init__(self, of: Recordings) -> None:
        self._all = of
        self._start: Message | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self.lost = self.left = False
        self.answer: Recorded | None = None

    def hear(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body" and not self.lost:
            if body := message.get("body"):
                self._add(body)
            if not message.get("more_body") and self._start and not self.lost:
                headers = kept_headers(self._start.get("headers", ()))
                body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
                self.end()
                self.answer = Recorded(self._start["status"], headers, body, int(time.time()))

    def listening(self, receive: Receive) -> Receive:
        async def receive_and_note() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left = True
            return message

        return receive_and_note

    def end(self) -> None:
        """Hold nothing of it any more."""
        self._all.held -= self._size
        self._size = 0
        self._pieces = []

    def _add(self, body: bytes) -> None:
        self._pieces.append(body)
        self._size += len(body)
        self._all.held += len(body)
        if self._size > self._all.most_each or self._all.held > self._all.most:
            self.end()
            self.lost = True
