"""Something that is done again and again, whatever becomes of it.

Promises one line in the log when it begins to fail, and one when it goes well again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from llmservice_server.store.failures import StoreError


class Rounds:
    """``failing`` and ``again``: what is told then; ``pause``: seconds until the next round."""

    def __init__(
        self,
        log: logging.Logger,
        pause: Callable[[], float],
        do: Callable[[], Awaitable[None]],
        *,
        failing: str,
        again: str,
    ) -> None:
        self._log, self._pause, self._do = log, pause, do
        self._words = failing, again
        self._silent = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._go_on())

    async def stop(self) -> bool:
        """Whether they had been started."""
        if self._task is None:
            return False
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        return True

    async def _go_on(self) -> None:
        failing, again = self._words
        while True:
            await asyncio.sleep(self._pause())
            try:
                await self._do()
            except StoreError as error:
                if not self._silent:
                    self._silent = True
                    self._log.warning("%s: %s", failing, error)
            except Exception:  # noqa: BLE001  what is to be done must not end for a fault of ours
                self._log.exception(failing)
            else:
                if self._silent:
                    self._silent = False
                    self._log.info(again)
