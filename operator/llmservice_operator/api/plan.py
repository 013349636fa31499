"""What a caller may do and how much: plans, and the rates that they and others are held to."""

from typing import Annotated, Literal

from llmservice_server.config import PLAN_NAME
from llmservice_server.config import Plan as Usual
from pydantic import Field

from llmservice_operator.api.fields import matching, text
from llmservice_operator.api.part import Part

_USUAL = Usual(name="default")
_NAME_SENTENCE = (
    "not a plan's name: write at most 63 letters, digits, '.', '_' and '-', starting and ending "
    "with a letter or digit"
)
PlanName = Annotated[str, text(PLAN_NAME, _NAME_SENTENCE, 63), matching(PLAN_NAME, _NAME_SENTENCE)]
Count = Annotated[int, Field(ge=1, le=2**53)]


class Rates(Part):
    """How much at once and in a minute; what is left out is not limited."""

    requests_per_minute: Count | None = None
    """Requests a minute. Who was quiet has all of them at once."""

    tokens_per_minute: Count | None = None
    """Tokens of prompts and answers a minute."""

    concurrent_requests: Count | None = None
    """Requests at a time."""

    concurrent_streams: Count | None = None
    """Answers that are streamed at a time."""


class Plan(Part):
    """One tier of callers."""

    name: PlanName
    """What keys, tokens and quotas call it. `default` is the plan of who has no other, `anonymous`
    that of who shows no key."""

    weight: Annotated[int, Field(ge=1, le=1000)] = _USUAL.weight
    """Its users' share of a full engine, beside those of other plans."""

    per_key: Rates = Rates()
    """What each key may ask for."""

    per_user: Rates = Rates()
    """What each user may ask for, with all keys together."""

    total: Rates = Rates()
    """What all callers of the plan may ask for together."""

    monthly_requests: Count | None = None
    """Requests of each user in a calendar month in UTC, in place of what `quotas` says."""

    monthly_tokens: Count | None = None
    """Tokens of each user in a calendar month in UTC, in place of what `quotas` says."""

    max_prompt_tokens: Count | None = None
    """Tokens that a prompt may have."""

    max_output_tokens: Count | None = None
    """Tokens that an answer may have."""

    models: (
        Annotated[
            tuple[Annotated[str, Field(min_length=1, max_length=256)], ...],
            Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"}),
        ]
        | None
    ) = None
    """Models and adapters that may be named. Default: all."""

    cache: Literal["deterministic", "always", "never"] = _USUAL.cache
    """Which answers may come from the cache: those that are the same each time, all, or none."""

    keep_bodies: bool = _USUAL.keep_bodies
    """Whether the history holds prompts and answers, where there is one."""


class Quotas(Part):
    """What each user may use in a calendar month in UTC, whose plan says nothing else of it. Plans
    that are kept in the database have their own.
    """

    monthly_requests: Count | None = None
    """Requests."""

    monthly_tokens: Count | None = None
    """Tokens of prompts and answers."""
