"""``llmservice-server admin``: users, plans, keys and what they used, in the database itself.

It reads the server's own configuration for where that is. Exit codes: 0 done, 1 refused or the
database does not answer, 2 what was written is wrong. Only results are on standard output.
"""

import argparse
import asyncio
import getpass
import os
import re
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from llmservice_server import termination
from llmservice_server.admin.asked import (
    MOST_ROWS,
    AskedHistory,
    AskedMonth,
    AskedUsage,
    NewKey,
    NewUser,
    this_month,
)
from llmservice_server.admin.issue import Issue
from llmservice_server.admin.shown import as_json, as_table
from llmservice_server.config import AuthConfig, ConfigError, DatabaseConfig, Plan, strict_yaml
from llmservice_server.config.environment import overlaid
from llmservice_server.config.faults import faults, one_line
from llmservice_server.config.part import Part
from llmservice_server.store.address import address_of
from llmservice_server.store.audit import Entry
from llmservice_server.store.failures import RefusedError, StoreError
from llmservice_server.store.history import KeptRequest
from llmservice_server.store.keys import Key
from llmservice_server.store.migrate import NEWEST
from llmservice_server.store.people import KnownPlan, User
from llmservice_server.store.record import Record
from llmservice_server.store.store import Store
from llmservice_server.store.usage import Month, Used

_ALL = 1_000_000
_DAYS = re.compile(r"([1-9][0-9]{0,4})d")


class _Administered(BaseModel):
    """What is needed here of the server's configuration; the rest may be as it likes."""

    model_config = ConfigDict(**Part.model_config | {"extra": "ignore"})
    database: DatabaseConfig | None = None
    auth: AuthConfig = AuthConfig()


@dataclass(frozen=True)
class _Asked:
    """The store, who asks, and what was written."""

    store: Store
    issue: Issue
    by: str
    written: argparse.Namespace


Shown = Record | tuple[type[Record], Sequence[Record]] | None
Verb = Callable[[_Asked], Awaitable[Shown]]


def main(arguments: Sequence[str]) -> int:
    """Do what was written, and say how it went as an exit code."""
    written = _parser().parse_args(arguments)
    try:
        shown = asyncio.run(_done(_asked(written)))
    except ConfigError as error:
        return _fail(2, f"{written.config}: {error}" if written.config else str(error))
    except ValidationError as error:
        return _fail(2, faults(error, {}))
    except (RefusedError, StoreError) as error:
        return _fail(1, str(error))
    sys.stdout.write(_text(shown, json=written.json))
    return 0


def _asked(written: argparse.Namespace) -> _Asked:
    config = _config(written.config)
    store = Store.at(address_of(config.database), config.auth)
    return _Asked(store, Issue.of(store.keys, config.auth), _who(), written)


async def _done(asked: _Asked) -> Shown:
    try:
        return await cast("Verb", asked.written.verb)(asked)
    finally:
        await asked.store.stop()


def _text(shown: Shown, *, json: bool) -> str:
    match shown:
        case None:
            return ""
        case Record():
            return as_json(shown) if json else as_table(type(shown), [shown])
        case (kind, records):
            return as_json(records) if json else as_table(kind, records)


def _fail(code: int, sentence: str) -> int:
    sys.stderr.write(termination.masked(one_line(sentence), os.environ) + "\n")
    return code


def _config(file: Path | None) -> _Administered:
    document: object = {}
    try:
        if file:
            document = strict_yaml.load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"not YAML: {one_line(str(error))}") from None
    if not isinstance(document, dict):
        raise ConfigError("not a mapping; write the server's configuration")
    whole, variables = overlaid(cast("dict[str, Any]", document), _Administered, os.environ)
    try:
        return _Administered.model_validate(whole)
    except ValidationError as error:
        raise ConfigError(faults(error, variables)) from None


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = str(os.geteuid())
    return f"command {user}@{socket.gethostname()}"


async def _bootstrap(asked: _Asked) -> Shown:
    return _once(await asked.issue.bootstrap(asked.written.user, asked.by))


async def _users(asked: _Asked) -> Shown:
    return User, await asked.store.people.users(_ALL)


async def _add_user(asked: _Asked) -> Shown:
    new = NewUser(name=asked.written.name, plan=asked.written.plan)
    return await asked.store.people.add_user(new.name, new.plan, asked.by)


async def _give_plan(asked: _Asked) -> Shown:
    return await asked.store.people.give_plan(asked.written.name, asked.written.plan, asked.by)


async def _remove_user(asked: _Asked) -> Shown:
    await asked.store.people.remove_user(asked.written.name, asked.by)
    return None


async def _forget_user(asked: _Asked) -> Shown:
    await asked.store.forget(asked.written.name, asked.by)
    return None


async def _plans(asked: _Asked) -> Shown:
    return KnownPlan, await asked.store.people.plans()


async def _put_plan(asked: _Asked) -> Shown:
    plan = _plan(asked.written.file)
    await asked.store.people.put_plan(plan, asked.by)
    return KnownPlan(plan=plan, configured=False)


async def _remove_plan(asked: _Asked) -> Shown:
    await asked.store.people.remove_plan(asked.written.name, asked.by)
    return None


async def _keys(asked: _Asked) -> Shown:
    return Key, await asked.store.keys.keys(_ALL, user=asked.written.user)


async def _make_key(asked: _Asked) -> Shown:
    written = asked.written
    new = NewKey(
        user=written.user,
        name=written.name,
        admin=written.admin,
        routes=written.route,
        models=written.model,
        expires=written.expires,
    )
    return _once(await asked.issue.make(new, asked.by))


async def _revoke_key(asked: _Asked) -> Shown:
    return await asked.store.keys.revoke(asked.written.prefix, asked.by)


async def _usage(asked: _Asked) -> Shown:
    written = asked.written
    wanted = AskedUsage(
        first=written.first,
        last=written.last,
        by=written.by.split(",") if written.by else [],
        user=written.user,
        key=written.key,
        model=written.model,
        limit=MOST_ROWS,
    )
    return Used, await asked.store.usage.used(**wanted.as_asked())


async def _months(asked: _Asked) -> Shown:
    wanted = AskedMonth(month=asked.written.month or this_month())
    return Month, await asked.store.usage.months(_ALL, wanted.month, user=asked.written.user)


async def _history(asked: _Asked) -> Shown:
    written = asked.written
    if written.number is not None:
        return await asked.store.history.request(written.number)
    fields = AskedHistory.model_fields
    given = {name: value for name in fields if (value := getattr(written, name)) is not None}
    wanted = AskedHistory.model_validate(given)
    return KeptRequest, await asked.store.history.requests(**wanted.as_asked())


async def _audit(asked: _Asked) -> Shown:
    return Entry, await asked.store.audit.entries(asked.written.limit)


async def _migrate(asked: _Asked) -> Shown:
    await asked.store.database.migrate(asked.written.revision)
    return None


def _once(made: Record) -> Record:
    sys.stderr.write("The key is shown this once; keep it where secrets are kept.\n")
    return made


def _plan(file: Path) -> Plan:
    """A plan as the configuration writes one; - is standard input."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        return Plan.model_validate(strict_yaml.load(text))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: not YAML: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"{file}: {faults(error, {})}") from None


def _moment(to_come: int, text: str) -> datetime:
    """In so many days, or before so many, or at a time; without a zone it is UTC's."""
    if days := _DAYS.fullmatch(text):
        return datetime.now(UTC) + to_come * timedelta(days=int(days[1]))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; write 90d, 2030-01-31 or 2030-01-31T12:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Parser(argparse.ArgumentParser):
    """One line for what is wrong, as everywhere; the whole usage is what --help is for."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("llmservice-server admin", description=__doc__)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the server's configuration; see there"
    )
    parser.add_argument("--json", action="store_true", help="JSON, as /admin/v1 answers")
    subjects = parser.add_subparsers(metavar="WHAT", required=True)

    first = _verb(subjects, "bootstrap", _bootstrap, "make the first administrator's key")
    first.add_argument("--user", default="admin", help="whose it is; made where there is none")

    users = _subject(subjects, "users", "who may ask")
    _verb(users, "list", _users, "all of them")
    new = _verb(users, "add", _add_user, "a new one")
    new.add_argument("name")
    new.add_argument("--plan", help="without it the configuration's default")
    given = _verb(users, "plan", _give_plan, "give one another plan")
    given.add_argument("name")
    given.add_argument("plan", nargs="?", help="without it the configuration's default")
    _verb(users, "remove", _remove_user, "one, and its keys").add_argument("name")

    forgotten = "what one asked goes: requests and conversations; what it used stays"
    _verb(users, "forget", _forget_user, forgotten).add_argument("name")

    plans = _subject(subjects, "plans", "what users may")
    _verb(plans, "list", _plans, "all of them, the configuration's too")
    put = _verb(plans, "put", _put_plan, "make one, or make it this one")
    put.add_argument("file", type=Path, help="YAML or JSON, as in auth.plans; - is standard input")
    _verb(plans, "remove", _remove_plan, "one that nobody has").add_argument("name")

    keys = _subject(subjects, "keys", "what they show")
    _verb(keys, "list", _keys, "all of them, revoked ones too").add_argument("--user")
    made = _verb(keys, "add", _make_key, "make one, and show it this once")
    made.add_argument("user")
    made.add_argument("--name", default="", help="what it is for")
    made.add_argument("--admin", action="store_true", help="it may administer, too")
    made.add_argument("--route", action="append", help="it opens this one alone; may be repeated")
    made.add_argument("--model", action="append", help="and this model; may be repeated")
    made.add_argument(
        "--expires", type=partial(_moment, 1), metavar="WHEN", help="as 90d or 2030-01-31"
    )
    _verb(keys, "revoke", _revoke_key, "one, by its prefix").add_argument("prefix")

    used = _verb(subjects, "usage", _usage, "what was used, and what it cost")
    used.add_argument("--first", metavar="DAY", help="in UTC; without it the month's first")
    used.add_argument("--last", metavar="DAY", help="itself included; without it today")
    used.add_argument("--by", default="user", help="as user,key,model,day; empty: one sum of all")
    for name in ("user", "key", "model"):
        used.add_argument(f"--{name}", help="of this one alone")
    months = _verb(subjects, "months", _months, "what users used in a month, as quotas count it")
    months.add_argument("--month", help="as 2026-01, in UTC; without it this one")
    months.add_argument("--user", help="of this one alone")

    asked = _verb(subjects, "history", _history, "what was asked, the newest first")
    asked.add_argument("number", nargs="?", type=int, help="this one, with its bodies if kept")
    for name in ("user", "key", "model"):
        asked.add_argument(f"--{name}", help="of this one alone")
    for name, what in (("since", "that began then or later"), ("until", "that began before")):
        asked.add_argument(f"--{name}", type=partial(_moment, -1), metavar="WHEN", help=what)
    asked.add_argument("--before", type=int, metavar="NUMBER", help="older than that one")
    asked.add_argument("--limit", type=int, help="at most so many; without it 100")

    trail = _verb(subjects, "audit", _audit, "who changed what, the newest first")
    trail.add_argument("--limit", type=int, default=100)
    tables = _verb(subjects, "migrate", _migrate, "bring the tables up to date, or back")
    tables.add_argument("revision", nargs="?", default=NEWEST, help="without it the newest")
    return parser


def _subject(above: Any, name: str, what: str) -> Any:
    return above.add_parser(name, help=what).add_subparsers(metavar="DO", required=True)


def _verb(above: Any, name: str, verb: Verb, what: str) -> argparse.ArgumentParser:
    made = above.add_parser(name, help=what)
    made.set_defaults(verb=verb)
    return made
