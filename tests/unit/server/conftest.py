"""A real Redis for a session, empty for each test; SQLite and a real PostgreSQL, with a database
for each test of what is kept.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest
from devcluster.waiting import ClusterError
from llmservice_server.config import DatabaseConfig, Place
from llmservice_server.store.address import Address, Postgres, Sqlite
from llmservice_server.store.database import Database

from dev.postgres import Postgres as Server
from dev.redis import Redis

_numbers = count(1)
_PATIENCE = 60  # seconds of a transaction: a busy machine is no fault of the code


_Runs = TypeVar("_Runs", Server, Redis)


def _running(made: Callable[[], _Runs]) -> Iterator[_Runs]:
    try:
        server = made()
    except ClusterError as error:
        pytest.skip(str(error))
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    yield from _running(Server)


def _bring_up(address: Address) -> None:
    async def bring_up() -> None:
        database = Database(address, seconds=_PATIENCE)
        await database.bring_up()
        await database.close()

    with ThreadPoolExecutor(1) as thread:  # which has no event loop yet, whatever this one has
        thread.submit(asyncio.run, bring_up()).result()


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database that nobody has used; to copy it is quicker than to make it."""
    folder = tmp_path_factory.mktemp("tables")
    _bring_up(Sqlite(folder / "store.db"))
    return folder


@pytest.fixture(scope="session")
def postgres_tables(postgres: Server) -> str:
    """The name of a database that nobody has used."""
    _bring_up(Postgres(postgres.make("tables")))
    return "tables"


@pytest.fixture
def empty() -> None:
    """For a test whose database has no tables yet."""


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """Of a database of the test's own, with the tables but nothing in them; see `empty`."""
    bare = "empty" in request.fixturenames
    if request.param == "sqlite":
        folder = tmp_path / "folder"
        if not bare:
            shutil.copytree(request.getfixturevalue("sqlite_tables"), folder)
        return Sqlite(folder / "store.db")
    server: Server = request.getfixturevalue("postgres")
    like = () if bare else (request.getfixturevalue("postgres_tables"),)
    return Postgres(server.make(f"test{next(_numbers)}", *like))


@pytest.fixture
def database_config(address: Address, monkeypatch: pytest.MonkeyPatch) -> DatabaseConfig:
    """Of a server in this process, which is as patient."""
    patient = partial(Database, seconds=_PATIENCE)
    monkeypatch.setattr("llmservice_server.store.store.Database", patient)
    match address:
        case Sqlite(file):
            return DatabaseConfig(sqlite=str(file))
        case Postgres(dsn):
            monkeypatch.setenv("TEST_DATABASE_URL", dsn)
            return DatabaseConfig(url=Place(variable="TEST_DATABASE_URL"))


@pytest.fixture
async def replica(address: Address) -> AsyncIterator[Callable[[], Database]]:
    """Makes what one process of the server has; each call is another process'."""
    made: list[Database] = []

    def make() -> Database:
        made.append(Database(address, seconds=_PATIENCE))
        return made[-1]

    yield make
    for database in made:
        await database.close()


@pytest.fixture
def database(replica: Callable[[], Database]) -> Database:
    return replica()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    yield from _running(Redis)


@pytest.fixture
def redis(redis_server: Redis) -> Redis:
    """It runs and holds nothing, whatever the test before did to it."""
    redis_server.close()
    redis_server.start()
    return redis_server
