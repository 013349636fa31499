"""The Redis in which replicas count together: where its address lies.

The address may hold a password, so that it is nowhere in the file.
"""

from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field

from llmservice_server.config.faults import ConfigError
from llmservice_server.config.part import Part
from llmservice_server.config.place import SecretPlace

_FAULT = (
    "redis.url: what it names holds no address of a Redis; write redis://:PASSWORD@HOST:6379/0, "
    "rediss:// for TLS, or unix:///PATH"
)


class RedisConfig(Part):
    """``url``: where the address lies, as ``redis://:PASSWORD@HOST:6379/0``; without it each
    replica counts for itself. ``prefix``: of all names there; services that share a Redis have each
    their own.
    """

    url: SecretPlace = None
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")] = "llmservice"


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    path: str | None
    tls: bool
    hello: tuple[tuple[str, ...], ...] = field(repr=False)
    """What is said first: who we are, and which database is meant."""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def address_of(url: str) -> Address:
    """Where it points.

    Raises:
        ConfigError: what to write instead; the address is not repeated.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except ValueError:
        raise ConfigError(_FAULT) from None
    path = unquote(parts.path) if parts.scheme == "unix" else None
    database = parse_qs(parts.query).get("db", [""])[0] if path else parts.path.strip("/")
    reachable = path or (parts.scheme in {"redis", "rediss"} and parts.hostname)
    if not reachable or not (database.isdigit() or not database):
        raise ConfigError(_FAULT)
    hello: list[tuple[str, ...]] = []
    if parts.password:
        user = (unquote(parts.username),) if parts.username else ()
        hello.append(("AUTH", *user, unquote(parts.password)))
    if database.strip("0"):
        hello.append(("SELECT", database))
    return Address(parts.hostname or "", port, path, parts.scheme == "rediss", tuple(hello))
