"""Answers of one replica, in its memory."""

from llmservice_server.config import CacheConfig
from llmservice_server.gateway.answers.recorded import Recorded
from llmservice_server.gateway.answers.shelf import Shelf
from llmservice_server.gateway.cache.metrics import entries, size


class OwnAnswers:
    def __init__(self, config: CacheConfig) -> None:
        self._shelf = shelf = Shelf[Recorded](
            config.ttl_seconds, config.max_entries, config.max_bytes
        )
        entries.set_function(lambda: len(shelf))
        size.set_function(lambda: shelf.bytes)

    def start(self) -> None:
        """There is nothing to do."""

    async def find(self, key: str) -> Recorded | None:
        return self._shelf.get(key)

    def keep(self, key: str, answer: Recorded) -> None:
        self._shelf.put(key, answer, answer.size)

    async def close(self) -> None:
        """Nothing is left to do."""
