"""The database's own clock, which is one for all replicas."""

from sqlalchemy import BigInteger, ColumnElement, literal_column
from sqlalchemy.ext.asyncio import AsyncConnection

_NOW = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS BIGINT)",
    "sqlite": "CAST(strftime('%s', 'now') AS INTEGER)",
}


def now(connection: AsyncConnection) -> ColumnElement[int]:
    """Seconds since the epoch."""
    return literal_column(_NOW[connection.dialect.name], BigInteger)
