"""API keys as they are stored: found by their prefix, and worth nothing without the pepper.

A key itself is never here. One that is revoked stays, so that what it used has a name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping, bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from llmservice_server.config.plan import Plan
from llmservice_server.store import tables
from llmservice_server.store.audit import Change, changing, version
from llmservice_server.store.database import Database
from llmservice_server.store.failures import AbsentError, TakenError
from llmservice_server.store.people import User, plan_of
from llmservice_server.store.record import Record


class Key(Record):
    """``routes`` and ``models``: what it is made for; None is all that its user's plan allows."""

    prefix: str
    name: str
    user: str
    admin: bool
    routes: tuple[str, ...] | None
    models: tuple[str, ...] | None
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None


@dataclass(frozen=True, slots=True)
class Found:
    """What tells whether a key that a client shows is this one, and what its user may do.

    ``plan``: the plan's name, None for the configuration's default; ``stored_plan``: the plan
    itself, where it is stored and not the configuration's.
    """

    key: Key
    digest: bytes = field(repr=False)
    plan: str | None
    stored_plan: Plan | None


class Keys:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self) -> int:
        """A number that is raised whenever a key, a user or a plan is changed."""
        return await version(self._database)

    async def find(self, prefix: str) -> Found | None:
        """The key with that prefix, whatever became of it."""
        keys, users, plans = tables.keys, tables.users, tables.plans
        wanted = (
            select(keys, users.c.plan, plans.c.document)
            .join(users, users.c.name == keys.c.user_name)
            .join(plans, plans.c.name == users.c.plan, isouter=True)
            .where(keys.c.prefix == prefix)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(wanted)).mappings().one_or_none()
        if row is None:
            return None
        plan = None if row["document"] is None else plan_of(row["document"])
        return Found(_key(row), row["digest"], row["plan"], plan)

    async def keys(self, limit: int, after: str = "", user: str | None = None) -> tuple[Key, ...]:
        """So many, by their prefixes, from the first one after that."""
        keys = tables.keys
        wanted = select(keys).where(keys.c.prefix > after).order_by(keys.c.prefix).limit(limit)
        if user is not None:
            wanted = wanted.where(keys.c.user_name == user)
        async with self._database.reading() as connection:
            return tuple(_key(row) for row in (await connection.execute(wanted)).mappings())

    async def key(self, prefix: str) -> Key:
        """By its prefix.

        Raises:
            AbsentError: there is none.
        """
        async with self._database.reading() as connection:
            return await _one(connection, prefix)

    async def add(self, key: Key, digest: bytes, by: str) -> None:
        """A new one.

        Raises:
            AbsentError: there is no such user.
            TakenError: another key has the prefix.
        """
        async with changing(self._database, by) as change:
            if not await _has_user(change.connection, key.user):
                raise AbsentError(f"user {key.user}: there is none; add it first")
            await _add(change, key, digest)

    async def add_first(self, key: Key, digest: bytes, by: str) -> None:
        """The first key of an administrator, with its user where there is none of that name.

        Raises:
            TakenError: there is a key of an administrator, or another key has the prefix.
        """
        async with changing(self._database, by) as change:
            keys = tables.keys
            living = (
                keys.c.admin,
                keys.c.revoked.is_(None),
                or_(keys.c.expires.is_(None), keys.c.expires > key.created),
            )
            wanted = select(keys.c.prefix).where(*living).limit(1)
            if there := (await change.connection.execute(wanted)).scalar_one_or_none():
                raise TakenError(f"key {there}: is an administrator's already; have it make more")
            if not await _has_user(change.connection, key.user):
                user = User(name=key.user, plan=None, created=key.created)
                await change.connection.execute(insert(tables.users).values(dict(user)))
                await change.note("user.add", user.name, None, user)
            await _add(change, key, digest)

    async def revoke(self, prefix: str, by: str) -> Key:
        """It is refused from now on; one that was revoked before stays so.

        Raises:
            AbsentError: there is none.
        """
        async with changing(self._database, by) as change:
            before = await _one(change.connection, prefix)
            if before.revoked is not None:
                return before
            after = before.model_copy(update={"revoked": datetime.now(UTC)})
            keys = tables.keys
            await change.connection.execute(
                update(keys).where(keys.c.prefix == prefix).values(revoked=after.revoked)
            )
            await change.note("key.revoke", prefix, before, after)
            return after

    async def used(self, last: Mapping[str, datetime]) -> None:
        """When the keys with these prefixes were used last, as far as one replica saw."""
        keys = tables.keys
        at = bindparam("at", type_=keys.c.last_used.type)
        earlier = or_(keys.c.last_used.is_(None), keys.c.last_used < at)
        touch = update(keys).where(keys.c.prefix == bindparam("of"), earlier).values(last_used=at)
        if not last:
            return
        async with self._database.writing() as connection:
            # in one order, so that two replicas never wait for each other
            await connection.execute(touch, [{"of": of, "at": last[of]} for of in sorted(last)])


async def _one(connection: AsyncConnection, prefix: str) -> Key:
    wanted = select(tables.keys).where(tables.keys.c.prefix == prefix)
    row = (await connection.execute(wanted)).mappings().one_or_none()
    if row is None:
        raise AbsentError(f"key {prefix}: there is none; list keys, and write a key's prefix")
    return _key(row)


async def _has_user(connection: AsyncConnection, name: str) -> bool:
    wanted = select(tables.users.c.name).where(tables.users.c.name == name)
    return (await connection.execute(wanted)).one_or_none() is not None


async def _add(change: Change, key: Key, digest: bytes) -> None:
    keys = tables.keys
    wanted = select(keys.c.prefix).where(keys.c.prefix == key.prefix)
    if (await change.connection.execute(wanted)).one_or_none():
        raise TakenError(f"key {key.prefix}: is there already; make another one")
    row = dict(key) | {"user_name": key.user, "digest": digest}
    del row["user"]
    await change.connection.execute(insert(keys).values(row))
    await change.note("key.add", key.prefix, None, key)


def _key(row: RowMapping) -> Key:
    known: dict[str, Any] = {name: row[name] for name in Key.model_fields if name != "user"}
    return Key(user=row["user_name"], **known)
