"""The tables: brought up and down on both databases, by one of many that try."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from llmservice_server.store import migrate
from llmservice_server.store.address import Address, Postgres, Sqlite
from llmservice_server.store.database import Database
from llmservice_server.store.failures import RefusedError
from llmservice_server.store.people import People
from llmservice_server.store.tables import metadata
from sqlalchemy import Connection, inspect, text

pytestmark = pytest.mark.usefixtures("empty")

_NUMBER = 10
# Processes of one that has imported what they need: on two cores it takes longer than their race.
_REPLICAS = """
import asyncio, multiprocessing, sys
from pathlib import Path
from llmservice_server.store.address import Postgres, Sqlite
from llmservice_server.store.database import Database
from llmservice_server.store.people import People

async def replica(name):
    address = Postgres(where) if kind == "Postgres" else Sqlite(Path(where))
    database = Database(address, seconds=60)  # a busy machine is no fault of the code
    all_there.wait()
    await People(database).add_user(name, None, "test")
    await database.close()

def run(name):
    asyncio.run(replica(name))

kind, where, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
fork = multiprocessing.get_context("fork")
all_there = fork.Barrier(number)
racing = [fork.Process(target=run, args=(f"user{each}",)) for each in range(number)]
for process in racing:
    process.start()
for process in racing:
    process.join()
print([process.exitcode for process in racing])
"""


async def _tables(database: Database) -> set[str]:
    async with database._reads.begin() as connection:  # noqa: SLF001  without bringing it up
        return set(await connection.run_sync(lambda c: inspect(c).get_table_names()))


async def test_what_the_revisions_make_is_what_the_code_uses(database: Database) -> None:
    async with database.reading() as connection:
        assert (
            await connection.run_sync(
                lambda c: compare_metadata(MigrationContext.configure(c), metadata)
            )
            == []
        )


@pytest.mark.parametrize("revision", migrate.revisions())
async def test_from_each_revision_up_and_back_down(
    replica: Callable[[], Database], revision: str
) -> None:
    old = replica()
    await old.migrate(revision)
    there = await _tables(old)
    people = People(replica())
    await people.add_user("alice", None, "test")
    assert [user.name for user in await people.users(10)] == ["alice"]

    await old.migrate(revision)
    assert await _tables(old) == there
    await old.migrate(migrate.NOTHING)
    assert await _tables(old) == {"alembic_version"}
    await People(replica()).add_user("bob", None, "test")


async def test_a_revision_that_is_not_there_is_refused_with_those_that_are(
    database: Database,
) -> None:
    with pytest.raises(RefusedError, match="no revision 7777; write one of base, 0001"):
        await database.migrate("7777")


async def test_ten_replicas_that_race_migrate_once(address: Address) -> None:
    kind, where = type(address).__name__, ""
    match address:
        case Postgres(dsn):
            where = dsn
        case Sqlite(file):
            where = str(file)
    racing = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _REPLICAS, kind, where, str(_NUMBER)), stdout=PIPE, stderr=PIPE
    )
    ended, said = await racing.communicate()
    assert json.loads(ended) == [0] * _NUMBER, said
    database = Database(address, seconds=60)
    assert len(await People(database).users(100)) == _NUMBER
    async with database.reading() as connection:
        made = await connection.execute(text("SELECT count(*) FROM alembic_version"))
        assert made.scalar_one() == 1
        number = await connection.execute(text("SELECT number FROM changes"))
        assert number.scalar_one() == _NUMBER
    await database.close()


async def test_a_server_goes_on_with_tables_that_a_newer_one_made(
    replica: Callable[[], Database],
) -> None:
    newer = replica()
    await newer.bring_up()
    async with newer.writing() as connection:
        await connection.execute(text("ALTER TABLE users ADD COLUMN mood VARCHAR(9)"))
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    old = replica()
    await People(old).add_user("alice", None, "test")
    assert (await People(old).user("alice")).created < datetime.now(UTC)
    with pytest.raises(RefusedError, match="a newer server made revision 9999"):
        await old.migrate(migrate.NOTHING)


async def test_a_migration_that_fails_in_its_middle_changes_nothing(
    address: Address, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For which both databases' transactions hold what is done to tables, too."""
    upgrade = migrate.to

    def fail_at_the_end(*arguments: object) -> None:
        upgrade(*arguments)  # type: ignore[arg-type]
        raise OSError("the power is gone")

    monkeypatch.setattr(migrate, "to", fail_at_the_end)
    with pytest.raises(Exception, match="the power is gone"):
        await database.bring_up()
    assert await _tables(database) == set()
    monkeypatch.undo()
    await asyncio.sleep(1.1)  # it is not tried again at once
    await database.bring_up()
    assert "users" in await _tables(database)


async def test_who_waits_for_the_tables_and_leaves_stops_nothing(
    replica: Callable[[], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a migration that takes longer than the first one's patience would never end."""
    upgrade = migrate.to

    def dawdle(connection: Connection, revision: str) -> None:
        time.sleep(0.5)
        upgrade(connection, revision)

    monkeypatch.setattr(migrate, "to", dawdle)
    database = replica()
    impatient = [asyncio.create_task(People(database).users(10)) for _ in range(3)]
    await asyncio.sleep(0.05)
    for task in impatient:
        task.cancel()
    await asyncio.wait(impatient)
    monkeypatch.undo()
    async with asyncio.timeout(30):
        while "users" not in await _tables(database):
            await asyncio.sleep(0.1)


async def test_the_file_is_nobody_elses(tmp_path: Path) -> None:
    database = Database(Sqlite(tmp_path / "a" / "store.db"))
    await database.bring_up()
    files = [tmp_path / "a", *(tmp_path / "a").iterdir()]
    assert len(files) == 4  # the journal and its index
    assert not [file for file in files if file.stat().st_mode & 0o077]
    await database.close()
