"""A store of keys that can be changed, slow, or gone."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from llmservice_server.config import Plan
from llmservice_server.gateway.identity import keys
from llmservice_server.gateway.identity.stored import StoredKey

from tests.unit.server.identity.door import PEPPER


class Store:
    def __init__(self) -> None:
        self._rows: dict[str, StoredKey] = {}
        self._version = 1
        self.down = False
        self.stalled = False
        self.full = False  # it takes nothing more, and answers
        self.questions = 0
        self.told: dict[str, float] = {}

    def add(self, name: str = "k1", **more: object) -> str:
        """A key of that id."""
        key = keys.new_key()
        row = StoredKey(
            id=name, user="ada", digest=keys.digest(key, PEPPER.encode()), plan=Plan(name="paid")
        )
        self._rows[str(keys.prefix_of(key))] = replace(row, **more)
        self._version += 1
        return key

    def change(self, key: str, **changed: object) -> None:
        prefix = str(keys.prefix_of(key))
        self._rows[prefix] = replace(self._rows[prefix], **changed)
        self._version += 1

    async def find(self, prefix: str) -> StoredKey | None:
        self.questions += 1
        await self._answers()
        return self._rows.get(prefix)

    async def version(self) -> int:
        await self._answers()
        return self._version

    async def used(self, last: Mapping[str, float]) -> None:
        await self._answers()
        if self.full:
            raise OSError("there is no room")
        self.told |= last

    async def _answers(self) -> None:
        if self.stalled:
            await asyncio.sleep(3600)
        await asyncio.sleep(0)
        if self.down:
            raise ConnectionError("postgresql://user:secret@db is gone")
