"""Conversations and their messages. Nobody sees, extends or deletes another owner's.

Each has a bound on its messages and their bytes, and each owner one on conversations.
"""

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from llmservice_server.store import tables
from llmservice_server.store.database import Database
from llmservice_server.store.failures import AbsentError, RefusedError, TakenError
from llmservice_server.store.record import Record

Message = dict[str, Any]
MOST_MESSAGES = 10_000
MOST_BYTES = 8 * 2**20
MOST_CONVERSATIONS = 10_000
"""Of one owner."""
_ROWS = 200  # of one transaction that forgets


class Conversation(Record):
    """``messages``: how many; ``bytes``: of them."""

    id: str
    created: datetime
    changed: datetime
    messages: int
    bytes: int


def owner_of(user: str) -> str:
    """What the gateway calls the user as a tenant."""
    return f"user:{user}"


class Conversations:
    """owner: a caller's tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def may_begin(self, owner: str) -> None:
        """Whether there is room for another one.

        Raises:
            RefusedError: the owner has as many as there may be.
        """
        table = tables.conversations
        some = select(table.c.id).where(table.c.owner == owner).limit(MOST_CONVERSATIONS)
        counted = select(func.count()).select_from(some.subquery())
        async with self._database.reading() as connection:
            if (await connection.execute(counted)).scalar_one() >= MOST_CONVERSATIONS:
                raise RefusedError(f"there are {MOST_CONVERSATIONS} conversations; delete some")

    async def begin(self, owner: str, messages: Sequence[Message]) -> Conversation:
        """A new one, with these messages."""
        now = datetime.now(UTC)
        made = Conversation(
            id=secrets.token_urlsafe(24),
            created=now,
            changed=now,
            messages=len(messages),
            bytes=_bytes(messages),
        )
        async with self._database.writing() as connection:
            await connection.execute(
                insert(tables.conversations).values(dict(made) | {"owner": owner})
            )
            await _append(connection, made.id, 0, messages, now)
        return made

    async def go_on(
        self, owner: str, conversation: str, after: int, messages: Sequence[Message]
    ) -> Conversation:
        """With these messages, after so many.

        Raises:
            AbsentError: the owner has no such conversation.
            TakenError: somebody else went on with it meanwhile.
        """
        now = datetime.now(UTC)
        table = tables.conversations
        async with self._database.writing() as connection:
            before = await _one(connection, owner, conversation, locked=True)
            if before.messages != after:
                raise TakenError(f"conversation {conversation}: it went on meanwhile; send again")
            changed = {
                "changed": now,
                "messages": after + len(messages),
                "bytes": before.bytes + _bytes(messages),
            }
            await connection.execute(
                update(table).where(table.c.id == conversation).values(changed)
            )
            await _append(connection, conversation, after, messages, now)
        return before.model_copy(update=changed)

    async def messages(
        self, owner: str, conversation: str, last: int = MOST_MESSAGES
    ) -> tuple[Conversation, tuple[Message, ...]]:
        """The conversation, and so many of its messages, the last ones and the system's.

        Raises:
            AbsentError: the owner has no such conversation.
        """
        table = tables.messages
        async with self._database.reading() as connection:
            found = await _one(connection, owner, conversation)
            wanted = (
                select(table.c.document)
                .where(table.c.conversation == conversation)
                .where(or_(table.c.number >= found.messages - last, table.c.system))
                .order_by(table.c.number)
            )
            return found, tuple((await connection.execute(wanted)).scalars())

    async def conversations(
        self, owner: str, limit: int, before: datetime | None = None
    ) -> tuple[Conversation, ...]:
        """So many of the owner's, those first that changed last, from the first one before that."""
        table = tables.conversations
        wanted = select(table).where(table.c.owner == owner)
        if before is not None:
            wanted = wanted.where(table.c.changed < before)
        newest = wanted.order_by(table.c.changed.desc()).limit(limit)
        async with self._database.reading() as connection:
            rows = (await connection.execute(newest)).mappings()
            return tuple(Conversation.model_validate(dict(row)) for row in rows)

    async def delete(self, owner: str, conversation: str) -> None:
        """With its messages.

        Raises:
            AbsentError: the owner has no such conversation.
        """
        async with self._database.writing() as connection:
            await _one(connection, owner, conversation)
            table = tables.conversations
            await connection.execute(delete(table).where(table.c.id == conversation))

    async def forget(self, before: datetime) -> int:
        """Some of those that did not change since; how many, 0 where there are no more of them."""
        return await self._forget(tables.conversations.c.changed < before)

    async def forget_user(self, user: str) -> int:
        """Some of the user's; how many, 0 where there are no more of them."""
        return await self._forget(tables.conversations.c.owner == owner_of(user))

    async def _forget(self, which: ColumnElement[bool]) -> int:
        table = tables.conversations
        some = select(table.c.id).where(which).limit(_ROWS)
        async with self._database.writing() as connection:
            gone = await connection.execute(delete(table).where(table.c.id.in_(some)))
            return gone.rowcount


async def _one(
    connection: AsyncConnection, owner: str, conversation: str, *, locked: bool = False
) -> Conversation:
    table = tables.conversations
    wanted = select(table).where(table.c.id == conversation, table.c.owner == owner)
    row = (await connection.execute(wanted.with_for_update() if locked else wanted)).mappings()
    if (found := row.one_or_none()) is None:
        raise AbsentError(f"conversation {conversation}: there is none; begin a new one")
    return Conversation.model_validate(dict(found))


async def _append(
    connection: AsyncConnection,
    conversation: str,
    after: int,
    messages: Sequence[Message],
    at: datetime,
) -> None:
    rows = [
        {
            "conversation": conversation,
            "number": number,
            "document": message,
            "at": at,
            "system": message.get("role") == "system",
        }
        for number, message in enumerate(messages, after)
    ]
    if rows:
        await connection.execute(insert(tables.messages), rows)


def _bytes(messages: Sequence[Message]) -> int:
    """As they are kept."""
    return sum(len(json.dumps(message)) for message in messages)
