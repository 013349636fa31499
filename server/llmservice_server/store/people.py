"""Users and their plans. A plan is stored here or written in the configuration, never both."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from llmservice_server.config.plan import Plan
from llmservice_server.store import tables
from llmservice_server.store.audit import changing
from llmservice_server.store.conversations import owner_of
from llmservice_server.store.database import Database
from llmservice_server.store.failures import AbsentError, TakenError
from llmservice_server.store.record import Record


class User(Record):
    """``plan``: None is the configuration's default."""

    name: str
    plan: str | None
    created: datetime


class KnownPlan(Record):
    """``configured``: written in the configuration, where alone it can be changed."""

    plan: Plan
    configured: bool


class People:
    """configured: the configuration's own plans."""

    def __init__(self, database: Database, configured: Iterable[Plan] = ()) -> None:
        self._database = database
        self._configured = {plan.name: plan for plan in configured}

    async def plans(self) -> tuple[KnownPlan, ...]:
        """All, by their names."""
        async with self._database.reading() as connection:
            stored = await _plans(connection)
        known = {plan.name: KnownPlan(plan=plan, configured=False) for plan in stored}
        own = {
            name: KnownPlan(plan=plan, configured=True) for name, plan in self._configured.items()
        }
        return tuple(plan for _, plan in sorted((known | own).items()))

    async def plan(self, name: str) -> KnownPlan:
        """By its name.

        Raises:
            AbsentError: there is none.
        """
        if name in self._configured:
            return KnownPlan(plan=self._configured[name], configured=True)
        async with self._database.reading() as connection:
            stored = await _plan(connection, name)
        if stored is None:
            raise _no_plan(name)
        return KnownPlan(plan=stored, configured=False)

    async def put_plan(self, plan: Plan, by: str) -> None:
        """Make the plan, or make it this one.

        Raises:
            TakenError: the configuration has one of that name.
        """
        self._not_configured(plan.name)
        async with changing(self._database, by) as change:
            before = await _plan(change.connection, plan.name)
            table, document = tables.plans, plan_document(plan)
            if before is None:
                await change.connection.execute(
                    insert(table).values(name=plan.name, document=document)
                )
            else:
                await change.connection.execute(
                    update(table).where(table.c.name == plan.name).values(document=document)
                )
            await change.note("plan.put", plan.name, before, plan)

    async def remove_plan(self, name: str, by: str) -> None:
        """It goes, where nobody has it.

        Raises:
            RefusedError: there is none, the configuration has it, or users do.
        """
        self._not_configured(name)
        async with changing(self._database, by) as change:
            before = await _plan(change.connection, name)
            if before is None:
                raise _no_plan(name)
            users = tables.users
            having = select(func.count()).select_from(users).where(users.c.plan == name)
            if count := (await change.connection.execute(having)).scalar_one():
                raise TakenError(f"plan {name}: {count} users have it; give them another first")
            await change.connection.execute(delete(tables.plans).where(tables.plans.c.name == name))
            await change.note("plan.remove", name, before, None)

    async def users(self, limit: int, after: str = "") -> tuple[User, ...]:
        """So many, by their names, from the first one after that."""
        users = tables.users
        wanted = select(users).where(users.c.name > after).order_by(users.c.name).limit(limit)
        async with self._database.reading() as connection:
            rows = await connection.execute(wanted)
            return tuple(User.model_validate(dict(row)) for row in rows.mappings())

    async def user(self, name: str) -> User:
        """By its name.

        Raises:
            AbsentError: there is none.
        """
        async with self._database.reading() as connection:
            return await _user(connection, name)

    async def add_user(self, name: str, plan: str | None, by: str) -> User:
        """A new one.

        Raises:
            RefusedError: there is one of that name, or no such plan.
        """
        async with changing(self._database, by) as change:
            try:
                await _user(change.connection, name)
            except AbsentError:
                pass
            else:
                raise TakenError(f"user {name}: is there already; choose another name")
            await self._known(change.connection, plan)
            user = User(name=name, plan=plan, created=datetime.now(UTC))
            await change.connection.execute(insert(tables.users).values(dict(user)))
            await change.note("user.add", name, None, user)
            return user

    async def give_plan(self, name: str, plan: str | None, by: str) -> User:
        """The user has that plan from now on.

        Raises:
            AbsentError: there is no such user, or no such plan.
        """
        async with changing(self._database, by) as change:
            before = await _user(change.connection, name)
            await self._known(change.connection, plan)
            users = tables.users
            await change.connection.execute(
                update(users).where(users.c.name == name).values(plan=plan)
            )
            after = before.model_copy(update={"plan": plan})
            await change.note("user.plan", name, before, after)
            return after

    async def remove_user(self, name: str, by: str) -> None:
        """With its keys and conversations; what it used stays.

        Raises:
            AbsentError: there is none.
        """
        async with changing(self._database, by) as change:
            before = await _user(change.connection, name)
            await change.connection.execute(delete(tables.users).where(tables.users.c.name == name))
            conversations = tables.conversations
            await change.connection.execute(
                delete(conversations).where(conversations.c.owner == owner_of(name))
            )
            await change.note("user.remove", name, before, None)

    def _not_configured(self, name: str) -> None:
        if name in self._configured:
            raise TakenError(f"plan {name}: is the configuration's; change it there")

    async def _known(self, connection: AsyncConnection, plan: str | None) -> None:
        if plan is not None and plan not in self._configured and not await _plan(connection, plan):
            raise _no_plan(plan)


async def _user(connection: AsyncConnection, name: str) -> User:
    wanted = select(tables.users).where(tables.users.c.name == name)
    row = (await connection.execute(wanted)).mappings().one_or_none()
    if row is None:
        raise AbsentError(f"user {name}: there is none; list users, or add it")
    return User.model_validate(dict(row))


async def _plans(connection: AsyncConnection) -> list[Plan]:
    documents = await connection.execute(select(tables.plans.c.document))
    return [plan_of(document) for document in documents.scalars()]


async def _plan(connection: AsyncConnection, name: str) -> Plan | None:
    wanted = select(tables.plans.c.document).where(tables.plans.c.name == name)
    document = (await connection.execute(wanted)).scalar_one_or_none()
    return None if document is None else plan_of(document)


def plan_document(plan: Plan) -> dict[str, Any]:
    """What is kept of it: only what differs from the defaults, for older servers' sake."""
    return plan.model_dump(by_alias=True, mode="json", exclude_defaults=True)


def plan_of(document: Any) -> Plan:
    """The plan, without what a newer server put into it."""
    return Plan.model_validate(document, extra="ignore")


def _no_plan(name: str) -> AbsentError:
    return AbsentError(f"plan {name}: there is none; list plans, or put it")
