"""The cache of answers: how long they live in it, and how much it holds."""

from typing import Annotated

from pydantic import Field

from llmservice_server.config.part import Part

Number = Annotated[int, Field(ge=1, le=2**40)]


class CacheConfig(Part):
    """On where it is written, also as ``{}``. Which answers of whom come from it is in the plans.

    With ``redis.url`` all replicas share it, each answer for ``ttlSeconds`` and of
    ``maxEntryBytes`` at most; how much there is in all is Redis' own ``maxmemory``. Without it each
    replica has its own, of ``maxEntries`` and ``maxBytes``; what was stored first goes first.
    """

    ttl_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    max_entries: Number = 10_000
    max_bytes: Number = 64 * 2**20
    max_entry_bytes: Number = 2**20
