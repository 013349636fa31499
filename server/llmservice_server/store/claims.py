"""Work that one replica does for all: whoever claims it has it for a while, and then anybody may.

A replica that dies keeps the others from it no longer than that.
"""

from datetime import UTC, datetime

from sqlalchemy import or_, select, update

from llmservice_server.store import tables
from llmservice_server.store.clock import now
from llmservice_server.store.database import Database


async def claimed(database: Database, name: str, holder: str, seconds: int) -> datetime | None:
    """Now, by the database's clock, where the holder has it from now for so long; else None."""
    table = tables.claims
    async with database.writing() as connection:
        clock = now(connection)
        taken = await connection.execute(
            update(table)
            .where(table.c.name == name, or_(table.c.holder == holder, table.c.until < clock))
            .values(holder=holder, until=clock + seconds)
        )
        if not taken.rowcount:
            return None
        until = await connection.execute(select(table.c.until).where(table.c.name == name))
        return datetime.fromtimestamp(until.scalar_one() - seconds, UTC)
