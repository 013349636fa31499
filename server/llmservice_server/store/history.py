"""What was asked and how it went: one row a request, kept for as long as is asked for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select

from llmservice_server.store import tables
from llmservice_server.store.database import Database
from llmservice_server.store.record import Record
from llmservice_server.store.text import kept

_LENGTHS: Mapping[str, int | None] = {
    column.name: getattr(column.type, "length", None) for column in tables.requests.columns
}
_ROWS = 200  # of one statement, and so of one transaction that forgets


class Asked(Record):
    """``asked`` and ``answered``: the bodies, where the plan asks for them.

    ``user`` and ``key`` are empty for who shows no key; ``error`` is one of the exchange's
    categories.
    """

    at: datetime
    request_id: str
    user: str
    key: str
    model: str
    route: str
    status: int
    error: str | None
    input_tokens: int | None
    output_tokens: int | None
    first_token_seconds: float | None
    seconds: float
    asked: str | None = None
    answered: str | None = None


class KeptRequest(Asked):
    number: int


class History:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, requests: Sequence[Asked]) -> None:
        """All of them, or none."""
        rows = [_row(request) for request in requests]
        async with self._database.writing() as connection:
            for first in range(0, len(rows), _ROWS):
                some = rows[first : first + _ROWS]
                await connection.execute(insert(tables.requests).values(some))

    async def requests(
        self, limit: int, before: int | None = None, user: str | None = None
    ) -> tuple[KeptRequest, ...]:
        """So many, the newest first, from the first one older than that number."""
        table = tables.requests
        wanted = select(table).order_by(table.c.number.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(table.c.number < before)
        if user is not None:
            wanted = wanted.where(table.c.user_name == user)
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted)).mappings()
            return tuple(
                KeptRequest(
                    user=row["user_name"],
                    **{name: row[name] for name in KeptRequest.model_fields if name != "user"},
                )
                for row in rows
            )

    async def forget(self, before: datetime) -> int:
        """Some of those that are older; how many, 0 where there are no more of them."""
        table = tables.requests
        old = select(table.c.number).where(table.c.at < before).limit(_ROWS)
        async with self._database.writing() as connection:
            gone = await connection.execute(delete(table).where(table.c.number.in_(old)))
            return gone.rowcount


def _row(request: Asked) -> dict[str, Any]:
    row: dict[str, Any] = dict(request) | {"user_name": request.user}
    del row["user"]
    return {
        name: kept(value, _LENGTHS[name]) if isinstance(value, str) else value
        for name, value in row.items()
    }
