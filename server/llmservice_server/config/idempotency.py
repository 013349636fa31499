"""Answers that are kept for whoever sends a request again by the same Idempotency-Key."""

from typing import Annotated

from pydantic import Field

from llmservice_server.config.cache import Number
from llmservice_server.config.part import Part


class IdempotencyConfig(Part):
    """On where it is written, also as ``{}``; in Redis where ``redis.url`` is, as the cache is."""

    ttl_seconds: Annotated[int, Field(ge=1, le=7 * 86_400)] = 86_400
    max_entries: Number = 10_000
    max_bytes: Number = 64 * 2**20
    max_entry_bytes: Number = 2**20
