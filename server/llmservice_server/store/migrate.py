"""The tables' history: a database is brought to a revision in one transaction, by one process.

Others wait for it and find that nothing is left to do. A database that a newer server has brought
further is left as it is: each revision only adds, so that two versions of the server run on it.
"""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from llmservice_server.store.failures import AbsentError, RefusedError

NEWEST, NOTHING = "head", "base"
_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x6C6C6D73  # ours among the advisory locks of one database
_LOCK_SECONDS = 300
_log = logging.getLogger("llmservice.store")


def revisions() -> tuple[str, ...]:
    """Those that this version of the server knows, oldest first."""
    walked = ScriptDirectory.from_config(_config()).walk_revisions()
    return tuple(script.revision for script in reversed(list(walked)))


def is_at(connection: Connection, revision: str) -> bool:
    """Whether nothing is left to do; to the newest that we know also where it is beyond that."""
    now, known = _now(connection), revisions()
    if revision == NEWEST:
        return now == known[-1] or (now is not None and now not in known)
    return now == (None if revision == NOTHING else revision)


def to(connection: Connection, revision: str) -> None:
    """Within a transaction that is the caller's.

    Raises:
        RefusedError: there is no such revision, or none that we know lies before it.
    """
    if connection.dialect.name == "postgresql":
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text(f"SET LOCAL {setting} = 0"))
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    if is_at(connection, revision):
        return
    now, known = _now(connection), [NOTHING, *revisions()]
    wanted = known[-1] if revision == NEWEST else revision
    if wanted not in known:
        raise AbsentError(f"there is no revision {wanted}; write one of {', '.join(known)}")
    if now not in {None, *known}:
        raise RefusedError(f"a newer server made revision {now}; have that one's command do it")
    _log.info("the tables are brought from %s to %s", now or NOTHING, wanted)
    up = known.index(wanted) > known.index(now or NOTHING)
    (command.upgrade if up else command.downgrade)(_config(connection), wanted)


def _now(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
