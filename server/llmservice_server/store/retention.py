"""What is older than it should be goes: by one replica at a time, in small steps.

Promises that deleting takes at most half of one connection's time, however much there is to delete,
and that a replica whose clock is wrong deletes nothing for it: the database's counts.
"""

import asyncio
import logging
import random
import secrets
import time
from datetime import timedelta

from llmservice_server.store.claims import claimed
from llmservice_server.store.conversations import Conversations
from llmservice_server.store.database import Database
from llmservice_server.store.history import History
from llmservice_server.store.rounds import Rounds

_EVERY = 600.0  # seconds, more or less: replicas that start together do not ask together
_CLAIMED = 60  # seconds: many times what a step may take
_PAUSE = 0.05  # seconds between two steps, at least
_log = logging.getLogger("llmservice.history")


class Retention:
    def __init__(
        self, database: Database, history: History, conversations: Conversations, days: int
    ) -> None:
        self._database = database
        self._steps = history.forget, conversations.forget
        self._kept = timedelta(days=days)
        self._holder = secrets.token_hex(16)
        self._rounds = Rounds(
            _log,
            lambda: random.uniform(0.5, 1.5) * _EVERY,  # noqa: S311  no secret
            self.forget,
            failing="old history is deleted once the database answers again",
            again="the database answers again: old history was deleted",
        )

    def start(self) -> None:
        self._rounds.start()

    async def stop(self) -> None:
        await self._rounds.stop()

    async def forget(self) -> None:
        """All that is too old, unless another replica is at it.

        Raises:
            StoreError: it cannot be done now.
        """
        for step in self._steps:
            gone = 1
            while gone:
                began = time.monotonic()
                now = await claimed(self._database, "retention", self._holder, _CLAIMED)
                if now is None:
                    return
                gone = await step(now - self._kept)
                await asyncio.sleep(max(time.monotonic() - began, _PAUSE) if gone else 0)
