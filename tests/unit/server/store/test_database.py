"""Connections and transactions: bounded, all or nothing, and what is said when they cannot be."""

import asyncio
import logging
import sqlite3
import sys
import textwrap
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
from llmservice_server.config import ConfigError, DatabaseConfig, Place
from llmservice_server.store.address import Address, Postgres, Sqlite, address_of
from llmservice_server.store.database import Database
from llmservice_server.store.failures import StoreError
from llmservice_server.store.people import People
from sqlalchemy import text

from dev.postgres import Postgres as Server

_URL = DatabaseConfig(url=Place(variable="URL"))


def test_an_address_is_taken_as_people_write_it() -> None:
    for written in ("postgres://u:p@h/d?sslmode=require", "postgresql+asyncpg://u:p@h1,h2:1/d"):
        address = address_of(_URL, {"URL": f" {written}\n"})
        assert isinstance(address, Postgres)
        assert address.dsn == written.replace("+asyncpg", "")
        assert "p@h" not in repr(address)
    assert address_of(DatabaseConfig(sqlite="a.db"), {}) == Sqlite(Path("a.db"))


def test_without_one_there_is_a_file_of_the_users_and_none_in_a_pod() -> None:
    assert address_of(None, {"XDG_DATA_HOME": "/d"}) == Sqlite(Path("/d/llmservice/store.db"))
    assert address_of(None, {}) == Sqlite(Path.home() / ".local/share/llmservice/store.db")
    with pytest.raises(ConfigError, match=r"nothing in a pod stays; write database: \{url: \{"):
        address_of(None, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("", "the secret that the variable URL should hold is not there"),
        ("mysql://u:verysecret@h/d", "no address of a PostgreSQL; write postgresql://USER:PASS"),
        ("postgres://u:verysecret@h/d d", "%20"),
        ("postgres:///verysecret", "names no host"),
        ("postgres://[u:verysecret@h/d", "is no address"),
    ],
)
def test_another_is_refused_with_what_to_write_and_never_repeated(written: str, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        address_of(_URL, {"URL": written})
    assert told in str(raised.value)
    assert "verysecret" not in str(raised.value)


_ADD = text("INSERT INTO users (name, created) VALUES ('bob', CURRENT_TIMESTAMP)")


async def _add(
    database: Database, *, times: int = 1, seconds: float = 0, fault: Exception | None = None
) -> None:
    async with database.writing() as connection:
        for _ in range(times):
            await connection.execute(_ADD)
        await asyncio.sleep(seconds)
        if fault:
            raise fault


async def test_a_transaction_is_committed_whole_or_not_at_all(database: Database) -> None:
    people = People(database)
    await people.add_user("alice", None, "me")
    with pytest.raises(StoreError, match=r"(?i)unique|duplicate"):
        await _add(database, times=2)
    with pytest.raises(KeyError):
        await _add(database, fault=KeyError())
    left = asyncio.create_task(_add(database, seconds=60))
    await asyncio.sleep(0.3)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert [user.name for user in await people.users(10)] == ["alice"]
    await _add(database)  # the control
    assert [user.name for user in await people.users(10)] == ["alice", "bob"]


async def test_an_error_repeats_no_statement_and_no_value(database: Database) -> None:

    async def ask() -> None:
        async with database.reading() as connection:
            await connection.execute(text("SELECT no FROM users WHERE x = :s"), {"s": "my secret"})

    with pytest.raises(StoreError) as raised:
        await ask()
    assert "SELECT" not in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_who_waits_too_long_for_another_is_told_and_may_come_again(
    address: Address, database: Database
) -> None:
    impatient = Database(address, seconds=0.5)
    await impatient.bring_up()
    await People(database).add_user("alice", None, "me")
    async with database.writing() as connection:
        await connection.execute(text("UPDATE changes SET number = number + 1"))
        begun = time.monotonic()
        with pytest.raises(StoreError):
            await People(impatient).add_user("bob", None, "me")
        assert time.monotonic() - begun < 4
        assert [user.name for user in await People(impatient).users(10)] == ["alice"]
    await People(impatient).add_user("bob", None, "me")
    await impatient.close()


async def test_more_at_once_than_connections_take_turns(
    replica: Callable[[], Database], database: Database
) -> None:
    people = People(database)
    await asyncio.gather(*(people.add_user(f"user{n}", None, "me") for n in range(30)))
    found = await asyncio.gather(*(people.user(f"user{n}") for n in range(30)))
    assert len({user.name for user in found}) == 30
    if isinstance(database.address, Postgres):
        async with replica().reading() as connection:
            used = await connection.execute(
                text(
                    "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                    " AND datname = current_database()"
                )
            )
            assert 1 < used.scalar_one() <= 4


async def test_nobody_there_is_an_error_without_the_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    database = Database(Postgres("postgresql://alice:verysecret@127.0.0.1:9/shop"))
    with pytest.raises(StoreError) as raised:
        await People(database).users(10)
    assert "127.0.0.1" in str(raised.value)
    assert "verysecret" not in str(raised.value) + caplog.text
    await database.close()


@pytest.fixture
async def silent() -> AsyncIterator[int]:
    """A port that takes connections and never says a word."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1")
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_one_that_never_answers_is_given_up(silent: int) -> None:
    database = Database(Postgres(f"postgresql://u@127.0.0.1:{silent}/d"), seconds=0.5)
    begun = time.monotonic()
    with pytest.raises(StoreError, match=r"did not answer within 0\.5 s"):
        await People(database).users(10)
    assert time.monotonic() - begun < 3
    await database.close()


async def test_postgresql_may_be_killed_and_come_back(postgres: Server) -> None:
    del postgres  # which other tests use; that it is there means that another one can be
    server = Server()
    try:
        server.start()
        database = Database(Postgres(server.dsn()))
        people = People(database)
        await asyncio.gather(*(people.add_user(f"user{n}", None, "me") for n in range(8)))
        await asyncio.to_thread(server.kill)
        for _ in range(3):
            with pytest.raises(StoreError):
                await people.add_user("late", None, "me")
        await asyncio.to_thread(server.start)
        found = await asyncio.gather(*(people.user(f"user{n}") for n in range(8)))
        assert len(found) == 8
        await people.add_user("late", None, "me")
        await database.close()
    finally:
        await asyncio.to_thread(server.close)


async def test_a_new_file_in_which_another_one_writes_just_now_is_waited_for(
    tmp_path: Path,
) -> None:
    file = tmp_path / "store.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")  # before it writes ahead, SQLite itself waits for nobody
        database = Database(Sqlite(file), seconds=60)
        adding = asyncio.create_task(People(database).add_user("alice", None, "test"))
        await asyncio.sleep(0.5)
        assert not adding.done()
        another.execute("ROLLBACK")
        await adding
    await database.close()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are my notes, and there are enough of them to be no header\n" * 20)
    database = Database(Sqlite(file))
    with pytest.raises(StoreError, match=r"notes\.txt: file is not a database"):
        await People(database).users(10)
    await database.close()
    assert file.read_text().startswith("these are my notes")


_FULL = """
    import asyncio
    import sys
    from pathlib import Path

    from llmservice_server.store.address import Sqlite
    from llmservice_server.store.database import Database
    from llmservice_server.store.failures import StoreError
    from llmservice_server.store.people import People

    async def main(folder):
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(200_000))
        database = Database(Sqlite(folder / "store.db"))
        people = People(database)
        added = []
        try:
            for number in range(10_000):
                await people.add_user(f"{number:0128}", None, "me")
                added.append(f"{number:0128}")
        except StoreError as error:
            print(error)
        names = [user.name for user in await people.users(10_000)]
        assert names == added, (len(names), len(added))
        ballast.unlink()
        await people.add_user("late", None, "me")
        assert await people.user("late")
        await database.close()
        print(len(added))

    asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    mounted = 'mount -t tmpfs -o size=700k tmpfs "$1" && exec "$0" -c "$2" "$1"'
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--map-root-user", "--mount", "sh", "-c", mounted),
        *(sys.executable, str(tmp_path), textwrap.dedent(_FULL)),
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = (said.decode() for said in await process.communicate())
    if "unshare" in err:
        pytest.skip(f"no disk can be made here: {err.strip()}")
    assert process.returncode == 0, err
    told, added = out.splitlines()
    assert told == (
        f"{tmp_path}/store.db: database or disk is full; nothing was changed. Make room on its disk"
    )
    assert int(added) > 10
