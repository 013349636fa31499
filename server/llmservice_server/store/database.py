"""Connections to one database: bounded in number, each transaction bounded in time.

Promises: the first use brings the tables up to date; a transaction that fails, is cancelled or
takes too long changes nothing, and is a `StoreError` that says why without a statement, a
parameter or an address in it. Only a commit of which no answer came may have happened.
"""

import asyncio
import importlib
import os
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from llmservice_server.store import migrate
from llmservice_server.store.address import Address, Postgres, Sqlite
from llmservice_server.store.failures import StoreError

_CONNECTIONS = 4  # of one replica: ten of them take less than half of PostgreSQL's usual 100
_SECONDS = 5.0  # of one transaction, waiting for a connection and for locks included
_CONNECT_SECONDS = 3
_MIGRATION_SECONDS = 600.0  # another replica's, waited for, included
_RECYCLE_SECONDS = 1800
_PAUSE = 0.01  # seconds between two tries at what SQLite waits for nobody with
_AGAIN_SECONDS = 1.0  # after a migration that failed, before the next one is tried
_SHOWN = 200  # characters of a database's own words
_WRITES = "llmservice_writes"


class Database:
    """One database of this process. Nothing is opened before the first use."""

    def __init__(self, address: Address, seconds: float = _SECONDS) -> None:
        self.address = address
        self._seconds = seconds
        self._engine, self._faults = _engine(address, seconds)
        self._reads = self._engine.execution_options(**{_WRITES: False})
        self._writes = self._engine.execution_options(**{_WRITES: True})
        self._current = False
        self._coming: asyncio.Task[str | None] | None = None
        self._failed: tuple[float, str] | None = None
        # SQLite's writers wait for each other anyway, but by looking now and then
        alone = isinstance(address, Sqlite)
        self._turn = asyncio.Lock() if alone else nullcontext[None]()

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that sees one state of all, and writes nothing.

        Raises:
            StoreError: it cannot now.
        """
        await self.bring_up()
        async with self._transaction(self._seconds, writes=False) as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that is committed where the body ends well.

        Raises:
            StoreError: it cannot now.
        """
        await self.bring_up()
        async with self._transaction(self._seconds, writes=True) as connection:
            yield connection

    async def bring_up(self) -> None:
        """Make the tables what this version of the server uses, unless that was done.

        Who is cancelled meanwhile, cancels none of it: it may take longer than anybody's patience.

        Raises:
            StoreError: it cannot now; the next use tries again, at most once a second.
        """
        if self._current:
            return
        if self._coming is None or self._coming.done():
            if self._failed and time.monotonic() - self._failed[0] < _AGAIN_SECONDS:
                raise StoreError(self._failed[1])
            self._coming = asyncio.create_task(self._bring_up())
        if fault := await asyncio.shield(self._coming):
            raise StoreError(fault)

    async def _bring_up(self) -> str | None:
        """What was wrong, if anything was."""
        try:
            await self.migrate(migrate.NEWEST)
        except StoreError as error:
            self._failed = time.monotonic(), str(error)
            return str(error)
        self._current, self._failed = True, None
        return None

    async def migrate(self, revision: str) -> None:
        """Bring the tables up or down to a revision; one process at a time, all or nothing.

        Raises:
            StoreError: it cannot now.
        """
        async with self._transaction(self._seconds, writes=False) as connection:
            if await connection.run_sync(migrate.is_at, revision):
                return
        async with self._transaction(_MIGRATION_SECONDS, writes=True) as connection:
            await connection.run_sync(migrate.to, revision)

    async def close(self) -> None:
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.wait([self._coming])
        await self._engine.dispose()

    @asynccontextmanager
    async def _transaction(
        self, seconds: float, *, writes: bool
    ) -> AsyncGenerator[AsyncConnection]:
        try:
            async with (
                asyncio.timeout(seconds),
                self._turn if writes else nullcontext(),
                (self._writes if writes else self._reads).begin() as connection,
            ):
                yield connection
        except TimeoutError:
            raise StoreError(f"the database did not answer within {seconds:g} s") from None
        except self._faults as error:
            raise StoreError(self._told(error)) from None

    def _told(self, error: BaseException) -> str:
        """The database's own words, of which the innermost error has no statement around it."""
        words = _innermost(error)
        text = " ".join((str(words) or type(words).__name__).split())[:_SHOWN]
        if isinstance(self.address, Sqlite):
            if "disk is full" in text or "disk I/O" in text:
                return f"{self.address.file}: {text}; nothing was changed. Make room on its disk"
            return f"{self.address.file}: {text}"
        return f"the database: {text}"


def _innermost(error: BaseException) -> BaseException:
    while inner := getattr(error, "orig", None) or error.__cause__:
        error = inner
    return error


def _engine(
    address: Address, seconds: float
) -> tuple[AsyncEngine, tuple[type[BaseException], ...]]:
    """The engine, and what it raises when it cannot."""
    pool: dict[str, Any] = {
        "pool_size": _CONNECTIONS,
        "max_overflow": 0,
        "pool_timeout": seconds,
        "hide_parameters": True,
    }
    if isinstance(address, Postgres):
        return _postgres(address, seconds, pool)
    return _sqlite(address, seconds, pool)


def _postgres(
    address: Postgres, seconds: float, pool: dict[str, Any]
) -> tuple[AsyncEngine, tuple[type[BaseException], ...]]:
    asyncpg: Any = importlib.import_module("asyncpg")  # of PostgreSQL alone; without types

    within = str(int(seconds * 1000))

    async def connect() -> Any:
        return await asyncpg.connect(
            address.dsn,
            timeout=_CONNECT_SECONDS,
            server_settings={
                "application_name": "llmservice-server",
                "statement_timeout": within,
                "lock_timeout": within,
                # of a replica that hangs within one, so that its locks go
                "idle_in_transaction_session_timeout": within,
                "timezone": "UTC",
            },
        )

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_pre_ping=True,
        pool_recycle=_RECYCLE_SECONDS,
        **pool,
    )
    faults = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    return engine, (SQLAlchemyError, OSError, *faults)


def _sqlite(
    address: Sqlite, seconds: float, pool: dict[str, Any]
) -> tuple[AsyncEngine, tuple[type[BaseException], ...]]:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(address.file)),
        # its own transactions off, so that the ones below are all there are
        connect_args={"timeout": seconds, "isolation_level": None},
        **pool,
    )

    @event.listens_for(engine.sync_engine, "do_connect")
    def for_us_alone(*_: object) -> None:
        """The file is made before SQLite would make one that everybody can read."""
        address.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(address.file, os.O_CREAT | os.O_RDWR, 0o600))

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        _write_ahead(cursor, time.monotonic() + seconds)
        for setting in ("synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        """The one that writes waits for its turn here and not in its middle, where none comes."""
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine, (SQLAlchemyError, OSError, sqlite3.Error)


def _write_ahead(cursor: Any, deadline: float) -> None:
    """Of those that open a new file together SQLite lets one do this, and the others not wait."""
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            await_only(asyncio.sleep(_PAUSE))
        else:
            return
