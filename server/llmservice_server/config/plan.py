"""What a caller may do and how much: a plan, and the rates that it and others are held to."""

from typing import Annotated, Literal

from pydantic import Field

from llmservice_server.config.part import Part

Count = Annotated[int, Field(ge=1, le=2**53)]  # what a JSON number holds exactly
NAME = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
"""A plan's name: it becomes a label of metrics and a part of keys in Redis."""
CacheUse = Literal["deterministic", "always", "never"]


class Rates(Part):
    """A number that is left out limits nothing. Tokens are those of prompts and answers."""

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrent_requests: Count | None = None
    concurrent_streams: Count | None = None


class Plan(Part):
    """One tier. ``weight``: its users' share of a full engine, beside those of other plans.

    ``per_key`` and ``per_user`` hold for each of them, ``total`` for all callers of the plan
    together. ``monthly_requests`` and ``monthly_tokens``: of one user, in a calendar month in UTC.
    ``models``: those that it may name, all where it is left out. ``cache``: which answers may come
    from it. ``keep_bodies``: whether the history holds prompts and answers.
    """

    name: Annotated[str, Field(pattern=NAME)]
    weight: Annotated[int, Field(ge=1, le=1000)] = 1
    per_key: Rates = Rates()
    per_user: Rates = Rates()
    total: Rates = Rates()
    monthly_requests: Count | None = None
    monthly_tokens: Count | None = None
    max_prompt_tokens: Count | None = None
    max_output_tokens: Count | None = None
    models: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    cache: CacheUse = "deterministic"
    keep_bodies: bool = False
