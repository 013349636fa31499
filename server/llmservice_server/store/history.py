"""What was asked and how it went: one row a request, kept for as long as is asked for."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, RowMapping, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmservice_server.gateway.history import Asked
from llmservice_server.store import tables
from llmservice_server.store.database import Database
from llmservice_server.store.failures import AbsentError
from llmservice_server.store.record import Record
from llmservice_server.store.text import kept

_LENGTHS: Mapping[str, int | None] = {
    column.name: getattr(column.type, "length", None) for column in tables.requests.columns
}
_BODIES = ("asked", "answered")
_ROWS = 200  # of one transaction that forgets
_AT_ONCE = 16  # rows of one statement: what is made of them keeps requests waiting meanwhile

Dimension = Literal["user", "key", "model"]


class KeptRequest(Record):
    """As `Asked`; ``replica`` is the one that answered it."""

    number: int
    at: datetime
    request_id: str
    user: str
    key: str
    model: str
    route: str
    status: int
    error: str | None
    streaming: bool
    answered_by: str | None
    input_tokens: int | None
    output_tokens: int | None
    first_token_seconds: float | None
    seconds: float
    replica: str


class WholeRequest(KeptRequest):
    """With its bodies, cut where they are long; None where they are not kept."""

    asked: str | None
    answered: str | None


class History:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, requests: Sequence[Asked], replica: str, *, perhaps_again: bool = False
    ) -> None:
        """All of them, or none; once, where they may have been added before."""
        if not requests:
            return
        async with self._database.writing() as connection:
            if perhaps_again and await _is_there(connection, _row(requests[0], replica)):
                return
            for first in range(0, len(requests), _AT_ONCE):
                some = requests[first : first + _AT_ONCE]
                rows = [_row(request, replica) for request in some]
                await connection.execute(insert(tables.requests), rows)

    async def requests(
        self,
        limit: int,
        before: int | None = None,
        of: Mapping[Dimension, str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> tuple[KeptRequest, ...]:
        """So many, the newest first, from the first one older than that number; ``of``: of these
        alone.
        """
        table = tables.requests
        wanted = select(*(column for column in table.c if column.name not in _BODIES))
        for name, value in (of or {}).items():
            wanted = wanted.where(table.c[_column(name)] == kept(value))
        if before is not None:
            wanted = wanted.where(table.c.number < before)
        if since is not None:
            wanted = wanted.where(table.c.at >= since)
        if until is not None:
            wanted = wanted.where(table.c.at < until)
        async with self._database.reading() as connection:
            newest = wanted.order_by(table.c.number.desc()).limit(limit)
            rows = (await connection.execute(newest)).mappings()
            return tuple(KeptRequest.model_validate(_named(row)) for row in rows)

    async def request(self, number: int) -> WholeRequest:
        """With its bodies.

        Raises:
            AbsentError: there is none.
        """
        wanted = select(tables.requests).where(tables.requests.c.number == number)
        async with self._database.reading() as connection:
            row = (await connection.execute(wanted)).mappings().one_or_none()
        if row is None:
            raise AbsentError(f"request {number}: there is none; list them, and write a number")
        return WholeRequest.model_validate(_named(row))

    async def forget(self, before: datetime) -> int:
        """Some of those that are older; how many, 0 where there are no more of them."""
        return await self._forget(tables.requests.c.at < before)

    async def forget_user(self, user: str) -> int:
        """Some of the user's; how many, 0 where there are no more of them."""
        return await self._forget(tables.requests.c.user_name == user)

    async def _forget(self, which: ColumnElement[bool]) -> int:
        table = tables.requests
        some = select(table.c.number).where(which).limit(_ROWS)
        async with self._database.writing() as connection:
            gone = await connection.execute(delete(table).where(table.c.number.in_(some)))
            return gone.rowcount


async def _is_there(connection: AsyncConnection, row: Mapping[str, Any]) -> bool:
    table = tables.requests
    same = (table.c[name] == row[name] for name in ("request_id", "at", "replica"))
    found = await connection.execute(select(table.c.number).where(*same).limit(1))
    return found.first() is not None


def _column(name: str) -> str:
    return "user_name" if name == "user" else name


def _named(row: RowMapping) -> dict[str, Any]:
    return {**row, "user": row["user_name"]}


def _row(request: Asked, replica: str) -> dict[str, Any]:
    row = {_column(name): value for name, value in request._asdict().items()}
    row |= {"at": datetime.fromtimestamp(request.at, UTC), "replica": replica}
    for name in _BODIES:
        if row[name] is not None:
            row[name] = row[name].decode(errors="replace")
    return {
        name: kept(value, _LENGTHS[name]) if isinstance(value, str) else value
        for name, value in row.items()
    }
