"""Which database: a PostgreSQL's address, or the file of a SQLite.

Never repeats an address, for it holds a password.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from llmservice_server import secret
from llmservice_server.config import ConfigError, DatabaseConfig

_SCHEMES = ("postgresql://", "postgres://")
_DIALECT = "postgresql+asyncpg://"  # as SQLAlchemy's users write it
_FORM = "write postgresql://USER:PASSWORD@HOST:5432/NAME, or for a SQLite database.sqlite: PATH"
_IN_A_POD = "KUBERNETES_SERVICE_HOST"
_NONE = (
    "database: is missing, and nothing in a pod stays; write database: {url: {variable: "
    "DATABASE_URL}}, or {sqlite: PATH} on a volume"
)


@dataclass(frozen=True)
class Postgres:
    """The address as libpq has it, with whatever follows its question mark."""

    dsn: str = field(repr=False)


@dataclass(frozen=True)
class Sqlite:
    file: Path


Address = Postgres | Sqlite


def address_of(
    config: DatabaseConfig | None, environment: Mapping[str, str] = os.environ
) -> Address:
    """The database that the configuration means; where it names none, a file of the user's.

    Raises:
        ConfigError: its address is not where the configuration says, or is none; or `own_file`'s.
    """
    if config is None:
        return Sqlite(own_file(environment))
    if config.url is None:
        return Sqlite(Path(config.sqlite or ""))
    text = secret.read_line(config.url, "database.url", environment)
    if text.startswith(_DIALECT):
        text = _SCHEMES[0] + text.removeprefix(_DIALECT)
    if fault := _fault(text):
        raise ConfigError(f"database.url: what lies there {fault}; {_FORM}")
    return Postgres(text)


def own_file(environment: Mapping[str, str]) -> Path:
    """The user's, where no database is named.

    Raises:
        ConfigError: this is a pod, where it would not outlive it.
    """
    if environment.get(_IN_A_POD):
        raise ConfigError(_NONE)
    data = environment.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(data) / "llmservice/store.db"


def _fault(text: str) -> str | None:
    if not text.startswith(_SCHEMES):
        return "is no address of a PostgreSQL"
    if " " in text:
        return "holds a blank, which is written as %20"
    try:
        host = urlsplit(text).netloc.rpartition("@")[2]
    except ValueError:
        return "is no address"
    return None if host or "host=" in text else "names no host"
