"""Who changed what, and when: written with the change itself, in one transaction, or not at all."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from llmservice_server.store import tables
from llmservice_server.store.database import Database
from llmservice_server.store.record import Record
from llmservice_server.store.text import kept


class Entry(Record):
    """One change: what was before and after it, None where there was nothing; never a secret."""

    number: int
    at: datetime
    actor: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True)
class Change:
    """A transaction that changes something. Such transactions follow one another."""

    connection: AsyncConnection
    actor: str

    async def note(
        self, action: str, subject: str, before: BaseModel | None, after: BaseModel | None
    ) -> None:
        await self.connection.execute(
            insert(tables.audit).values(
                at=datetime.now(UTC),
                actor=kept(self.actor, tables.USER),
                action=action,
                subject=subject,
                before=_document(before),
                after=_document(after),
            )
        )


@asynccontextmanager
async def changing(database: Database, actor: str) -> AsyncGenerator[Change]:
    """Begin a change, which every replica notices by `version`."""
    async with database.writing() as connection:
        changes = tables.changes
        await connection.execute(update(changes).values(number=changes.c.number + 1))
        yield Change(connection, actor)


async def version(database: Database) -> int:
    """A number that each change raises."""
    async with database.reading() as connection:
        return (await connection.execute(select(tables.changes.c.number))).scalar_one()


class Audit:
    """The trail, newest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def entries(self, limit: int, before: int | None = None) -> tuple[Entry, ...]:
        """before: the number of the entry after the first one wanted."""
        audit = tables.audit
        wanted = select(audit).order_by(audit.c.number.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(audit.c.number < before)
        async with self._database.reading() as connection:
            rows = await connection.execute(wanted)
            return tuple(Entry.model_validate(dict(row)) for row in rows.mappings())


def _document(record: BaseModel | None) -> dict[str, Any] | None:
    return None if record is None else record.model_dump(by_alias=True, mode="json")
