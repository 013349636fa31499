"""What was asked of this replica, written to the database twice a second.

Promises: keeping a request costs it no wait and never fails; a crash loses at most the last second;
nothing is written twice. While the database is away requests are kept up to a bound, and beyond it
are lost, which is told to who wanted them kept. Bodies have a bound of their own: without them the
request itself is still kept.
"""

import logging
import socket
from collections import deque
from typing import Literal

from llmservice_server.gateway.history import Asked
from llmservice_server.store.failures import StoreError
from llmservice_server.store.history import History
from llmservice_server.store.rounds import Rounds

_EVERY = 0.5  # seconds
_MOST = 20_000  # requests that wait to be written
_MOST_BYTES = 32 * 2**20  # of their bodies
_BATCH, _BATCH_BYTES = 100, 4 * 2**20  # of one transaction
_log = logging.getLogger("llmservice.history")


class Journal:
    """replica: what this one is called; a pod is called so by Kubernetes."""

    def __init__(self, history: History, replica: str | None = None) -> None:
        self._history, self._replica = history, replica or socket.gethostname()
        self._waiting: deque[Asked] = deque()
        self._bytes = 0
        self._batch: list[Asked] = []
        self._doubtful = False  # whether the batch may have been written
        self._rounds = Rounds(
            _log,
            lambda: _EVERY,
            self.tell,
            failing="history is kept until the database answers again",
            again="the database answers again: history was told",
        )

    def keep(self, asked: Asked) -> Literal["request", "bodies"] | None:
        """What of it is lost for want of room."""
        if len(self._waiting) >= _MOST:
            return "request"
        size = _size(asked)
        lost = None
        if self._bytes + size > _MOST_BYTES:
            asked, size, lost = asked._replace(asked=None, answered=None), 0, "bodies"
        self._bytes += size
        self._waiting.append(asked)
        return lost

    async def tell(self) -> None:
        """Write all that there is.

        Raises:
            StoreError: it cannot be now, and is kept for the next time.
        """
        while self._batch or self._waiting:
            self._batch = self._batch or self._next()
            again, self._doubtful = self._doubtful, True
            await self._history.add(self._batch, self._replica, perhaps_again=again)
            self._batch, self._doubtful = [], False

    def _next(self) -> list[Asked]:
        batch: list[Asked] = []
        size = 0
        while self._waiting and len(batch) < _BATCH and size < _BATCH_BYTES:
            batch.append(self._waiting.popleft())
            size += _size(batch[-1])
        self._bytes -= size
        return batch

    def start(self) -> None:
        self._rounds.start()

    async def stop(self) -> None:
        """Write the rest, if that can be done."""
        if not await self._rounds.stop():
            return
        try:
            await self.tell()
        except StoreError as error:
            lost = len(self._batch) + len(self._waiting)
            _log.error("the last %d requests of the history are lost: %s", lost, error)


def _size(asked: Asked) -> int:
    return len(asked.asked or b"") + len(asked.answered or b"")
