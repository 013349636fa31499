"""Ends a wait for an upstream when there is no use in it: its client left, or it takes too long.

One timer and one task a request; what arrives costs no timer of its own.
"""

import asyncio
from collections.abc import Callable
from enum import Enum

from llmservice_server.gateway.asgi import Receive


class Why(Enum):
    GONE = "the client left"
    LATE = "the upstream took too long"


class Watch:
    """Of the task that makes it, from then on until ``end``; the body must have been read.

    often: the fewest seconds within which anything will be wanted.
    """

    def __init__(self, receive: Receive, often: float) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  for the type checker
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._often = often
        self._seconds = self._since = 0.0
        self._why: Why | None = None
        self.held = False
        """Whether the client is waited for: one that reads nothing for as long is gone."""
        self._leaving = self._loop.create_task(_until_gone(receive, self._gone))

    def within(self, seconds: float) -> None:
        """From now on something is to come every so many seconds."""
        self._seconds, self._since = seconds, self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._often, self._look)

    def arrived(self) -> None:
        self._since = self._loop.time()

    def caught(self) -> Why | None:
        """Whose cancellation was just caught: this watch's, which is hereby over, or another's."""
        why, self._why = self._why, None
        if why is None:
            return None
        self._task.uncancel()
        return Why.GONE if self._leaving.done() else why  # it may have left meanwhile

    def end(self) -> None:
        self._leaving.cancel()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        left = self._since + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(min(left, self._often), self._look)
        else:
            self._timer = None
            self._interrupt(Why.GONE if self.held else Why.LATE)

    def _gone(self) -> None:
        self._interrupt(Why.GONE)

    def _interrupt(self, why: Why) -> None:
        if self._why is None:
            self._why = why
            self._task.cancel()


async def _until_gone(receive: Receive, gone: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone()
