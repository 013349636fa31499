"""spec.gateway.cache, idempotency and history: what is kept of requests and their answers."""

from typing import Annotated

from llmservice_server.config import CacheConfig, HistoryConfig, IdempotencyConfig
from pydantic import Field

from llmservice_operator.api.part import Part

_CACHE, _HISTORY, _IDEMPOTENCY = CacheConfig(), HistoryConfig(), IdempotencyConfig()
Amount = Annotated[int, Field(ge=1, le=2**40)]


class Cache(Part):
    """Answers that are given again to the same question of the same caller's; which of them may be,
    is in the plans. With `redis` all replicas share it.
    """

    ttl_seconds: Annotated[int, Field(ge=1, le=86_400)] = _CACHE.ttl_seconds
    """For how long an answer is given again."""

    max_entries: Amount = _CACHE.max_entries
    """How many answers a replica holds. Of those in `redis` its own bound holds."""

    max_bytes: Amount = _CACHE.max_bytes
    """How many bytes they have together, there as well."""

    max_entry_bytes: Amount = _CACHE.max_entry_bytes
    """A larger answer is not kept."""


class Idempotency(Part):
    """Answers for whoever sends a request again by the same Idempotency-Key. With `redis` all
    replicas share them.
    """

    ttl_seconds: Annotated[int, Field(ge=1, le=7 * 86_400)] = _IDEMPOTENCY.ttl_seconds
    """For how long an answer is kept."""

    max_entries: Amount = _IDEMPOTENCY.max_entries
    """How many a replica holds. Of those in `redis` its own bound holds."""

    max_bytes: Amount = _IDEMPOTENCY.max_bytes
    """How many bytes they have together, there as well."""

    max_entry_bytes: Amount = _IDEMPOTENCY.max_entry_bytes
    """A larger answer is not kept."""


class History(Part):
    """What is kept of requests and conversations, in `database`: who asked what when, and how it
    ended. Prompts and answers of requests only by plans with `keepBodies`.
    """

    retention_days: Annotated[int, Field(ge=1, le=3650)] = _HISTORY.retention_days
    """After how many days it is deleted, a conversation so long after its last message."""
