"""What was used and what it cost: sums by day, user, key and model, and by user and month.

Promises: a batch is counted once, however often it is told; of two replicas neither waits for ever
for the other. What a replica had reserved and never used is charged in full once it has not been
heard of for `DEAD` seconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, NamedTuple, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    RowMapping,
    Table,
    case,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from llmservice_server.store import tables
from llmservice_server.store.clock import now
from llmservice_server.store.database import Database
from llmservice_server.store.record import Record

DEAD = 20
"""Seconds without a beat after which a replica is taken for dead."""
OTHERS = "other"
"""Who is told of together."""
MOST = 2**53
"""Where a sum stops: it is nonsense by then, and the next one must not fail for it."""
_FORGOTTEN = 86_400  # seconds after which a replica that is gone is no longer known
_ROWS = 500  # of one statement
_BILLION = 1e9

Dimension = Literal["day", "user", "key", "model"]


class Place(NamedTuple):
    """Where something is counted; key and user are empty for who shows no key."""

    day: date
    user: str
    key: str
    model: str


class Amount(NamedTuple):
    """``cost`` in billionths."""

    requests: int
    input_tokens: int
    output_tokens: int
    cost: int


class Owner(NamedTuple):
    """``month`` in UTC, as 2026-01."""

    user: str
    month: str


class Total(NamedTuple):
    requests: int
    tokens: int


K = TypeVar("K")
V = TypeVar("V", Amount, Total)


@dataclass(frozen=True)
class Batch:
    """``number``: higher than that of the replica's last one. ``reserved``: all that is, now."""

    number: int
    used: Mapping[Place, Amount] = field(default_factory=dict[Place, Amount])
    months: Mapping[Owner, Total] = field(default_factory=dict[Owner, Total])
    reserved: Mapping[Owner, Total] = field(default_factory=dict[Owner, Total])


class Used(Record):
    """Sums; a dimension that was not asked for is None. ``cost``: in the prices' currency."""

    day: date | None
    user: str | None
    key: str | None
    model: str | None
    requests: int
    input_tokens: int
    output_tokens: int
    cost: float


class Month(Record):
    """What a user's monthly quotas are held against, but for what is under way."""

    user: str
    month: str
    requests: int
    tokens: int


class Usage:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, replica: str, batch: Batch) -> bool:
        """Count the batch, and keep in mind what the replica has reserved.

        False: it was taken for dead meanwhile, and what it had reserved is charged. The batch's
        usage is counted all the same; it has to go on by another name.
        """
        async with self._database.writing() as connection:
            replicas = tables.replicas
            known = (
                await connection.execute(
                    select(replicas.c.batch, replicas.c.charged)
                    .where(replicas.c.name == replica)
                    .with_for_update()
                )
            ).one_or_none()
            clock = now(connection)
            if known is None:
                row = {"name": replica, "beat": clock, "batch": batch.number, "charged": False}
                await connection.execute(insert(replicas).values(row))
            else:
                await connection.execute(
                    update(replicas)
                    .where(replicas.c.name == replica)
                    .values(beat=clock, batch=batch.number)
                )
            if known is None or known.batch < batch.number:
                await _count(connection, batch)
            if known is not None and known.charged:
                return False
            await _reserve(connection, replica, batch.reserved)
            return True

    async def leave(self, replica: str) -> None:
        """The replica ends, and has nothing under way."""
        async with self._database.writing() as connection:
            for table, name in _BY_REPLICA:
                await connection.execute(delete(table).where(name == replica))

    async def charge_the_dead(self) -> int:
        """What replicas that died had reserved counts as used; how many replicas these were."""
        async with self._database.writing() as connection:
            replicas, reservations = tables.replicas, tables.reservations
            clock = now(connection)
            dead = (
                select(replicas.c.name)
                .where(replicas.c.beat < clock - DEAD, replicas.c.charged.is_(False))
                .order_by(replicas.c.name)
                .with_for_update(skip_locked=True)  # one that it holds is alive
            )
            names = list((await connection.execute(dead)).scalars())
            await connection.execute(
                delete(replicas).where(replicas.c.beat < clock - _FORGOTTEN, replicas.c.charged)
            )
            if not names:
                return 0
            theirs = reservations.c.replica.in_(names)
            left = await connection.execute(select(reservations).where(theirs))
            sums: dict[Owner, Total] = {}
            for row in left.mappings():
                total = Total(row["requests"], row["tokens"])
                raise_by(sums, Owner(row["user_name"], row["month"]), total)
            await _add(connection, tables.usage_month, _months(sums))
            await connection.execute(delete(reservations).where(theirs))
            await connection.execute(
                update(replicas).where(replicas.c.name.in_(names)).values(charged=True)
            )
            return len(names)

    async def month(self, owner: Owner) -> Total:
        """What was used, with what replicas that died had reserved."""
        months, reservations, replicas = tables.usage_month, tables.reservations, tables.replicas
        used = select(months.c.requests, months.c.tokens).where(
            months.c.user_name == owner.user, months.c.month == owner.month
        )
        async with self._database.reading() as connection:
            lost = (
                select(reservations.c.requests, reservations.c.tokens)
                .join(replicas, replicas.c.name == reservations.c.replica)
                .where(
                    reservations.c.user_name == owner.user,
                    reservations.c.month == owner.month,
                    replicas.c.beat < now(connection) - DEAD,
                )
            )
            rows = [*await connection.execute(used), *await connection.execute(lost)]
        return Total(sum(row.requests for row in rows), sum(row.tokens for row in rows))

    async def months(
        self, limit: int, month: str, after: str = "", user: str | None = None
    ) -> tuple[Month, ...]:
        """So many, by the users' names, from the first one after that."""
        table = tables.usage_month
        wanted = (
            select(table)
            .where(table.c.month == month, table.c.user_name > after)
            .order_by(table.c.user_name)
            .limit(limit)
        )
        if user is not None:
            wanted = wanted.where(table.c.user_name == user)
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted)).mappings()
            return tuple(
                Month.model_validate(dict(row) | {"user": row["user_name"]}) for row in rows
            )

    async def used(
        self,
        first: date,
        last: date,
        by: Iterable[Dimension] = (),
        of: Mapping[Dimension, Any] | None = None,
        limit: int = 1000,
    ) -> tuple[Used, ...]:
        """Sums of these days, both included, for each of ``by``; ``of``: of these alone."""
        table = tables.usage
        columns = {name: table.c["user_name" if name == "user" else name] for name in _DIMENSIONS}
        groups = [columns[name] for name in _DIMENSIONS if name in set(by)]
        wanted = (
            select(*groups, *_sums())
            .where(table.c.day.between(first, last))
            .where(*(columns[name] == value for name, value in (of or {}).items()))
            .group_by(*groups)
            .order_by(*groups)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            rows = list((await connection.execute(wanted)).mappings())
        return tuple(_used(row) for row in rows)

    async def by_user(self, first: date, last: date, most: int) -> tuple[Used, ...]:
        """Sums of these days, both included, for each user and model; of so many users, those who
        used most, and of the others together.
        """
        table = tables.usage
        days = table.c.day.between(first, last)
        known = (
            select(table.c.user_name)
            .where(days)
            .group_by(table.c.user_name)
            .order_by(func.sum(table.c.input_tokens + table.c.output_tokens).desc())
            .order_by(table.c.user_name)
            .limit(most)
        )
        user = case((table.c.user_name.in_(known), table.c.user_name), else_=OTHERS)
        groups = user.label("user_name"), table.c.model
        wanted = select(*groups, *_sums()).where(days).group_by(*groups).order_by(*groups)
        async with self._database.reading() as connection:
            rows = list((await connection.execute(wanted)).mappings())
        return tuple(_used(row) for row in rows)


_DIMENSIONS: tuple[Dimension, ...] = ("day", "user", "key", "model")
_BY_REPLICA = (
    (tables.reservations, tables.reservations.c.replica),
    (tables.replicas, tables.replicas.c.name),
)


def raise_by(sums: dict[K, V], place: K, by: V) -> None:
    """Add to what is counted there."""
    before = sums.get(place)
    sums[place] = by if before is None else before._make(map(sum, zip(before, by, strict=True)))


def _sums() -> list[ColumnElement[int]]:
    return [
        cast(func.coalesce(func.sum(tables.usage.c[name]), 0), BigInteger).label(name)
        for name in Amount._fields
    ]


async def _count(connection: AsyncConnection, batch: Batch) -> None:
    used = [
        {"day": place.day, "user_name": place.user, "key": place.key, "model": place.model}
        | amount._asdict()
        for place, amount in sorted(batch.used.items())
    ]
    await _add(connection, tables.usage, used)
    await _add(connection, tables.usage_month, _months(batch.months))


def _months(sums: Mapping[Owner, Total]) -> list[dict[str, Any]]:
    return [
        {"user_name": owner.user, "month": owner.month} | total._asdict()
        for owner, total in sorted(sums.items())
    ]


async def _reserve(
    connection: AsyncConnection, replica: str, reserved: Mapping[Owner, Total]
) -> None:
    table = tables.reservations
    await connection.execute(delete(table).where(table.c.replica == replica))
    rows = [{"replica": replica} | row for row in _months(reserved)]
    for some in _some(rows):
        await connection.execute(insert(table).values(some))


async def _add(connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Raise the sums that are there, in the rows' order, which is the same for all replicas."""
    of_postgres = connection.dialect.name == "postgresql"
    lesser = func.least if of_postgres else func.min
    keys = [column.name for column in table.primary_key]
    for some in _some(rows):
        wanted = (postgresql.insert if of_postgres else sqlite.insert)(table).values(
            [{name: _bounded(value) for name, value in row.items()} for row in some]
        )
        sums = {
            column.name: lesser(column + wanted.excluded[column.name], MOST)
            for column in table.c
            if not column.primary_key
        }
        await connection.execute(wanted.on_conflict_do_update(index_elements=keys, set_=sums))


def _bounded(value: Any) -> Any:
    return min(value, MOST) if isinstance(value, int) else value


def _some(rows: Sequence[dict[str, Any]]) -> Iterable[Sequence[dict[str, Any]]]:
    return (rows[first : first + _ROWS] for first in range(0, len(rows), _ROWS))


def _used(row: RowMapping) -> Used:
    return Used(
        day=row.get("day"),
        user=row.get("user_name"),
        key=row.get("key"),
        model=row.get("model"),
        requests=row["requests"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cost=row["cost"] / _BILLION,
    )
