"""How many requests the engine gets at once and how many may wait, and what callers may ask for."""

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from llmservice_server.config.part import Part
from llmservice_server.config.plan import Count, Rates


class AnonymousRates(Rates):
    """Of who shows no key: ten requests a minute, unless it says something else or null."""

    requests_per_minute: Count | None = 10


class ModelRates(Part):
    """What all callers of one model, or adapter, may ask of it together."""

    name: Annotated[str, Field(min_length=1)]
    rates: Rates


class LimitsConfig(Part):
    """What is beyond the first three is refused with 503 before an answer starts, what is beyond
    the others with 429.

    ``running``: without a number, as many as the engine says suit it. ``waiting``: how many may
    wait, each with its body in memory. ``waitSeconds``: longer than a client waits for a first
    token is too long; less would refuse what a moment later had been served.

    ``enabled``: where false, no rate holds, only what plans say of sizes and months; where true,
    ``anonymous`` holds also where nobody asks who calls.
    ``anonymous``: of each address, where callers without a key are let in; ``perAddress``: of each
    address, whoever asks. What keys, users and plans may ask for is in the plans.
    ``whenRedisIsDown``: ``open`` counts in each replica alone meanwhile, ``closed`` refuses.
    """

    running: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    waiting: Annotated[int, Field(ge=0, le=1_000_000)] = 1024
    wait_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
    # Not written where nothing is, for older servers' sake.
    enabled: bool | None = Field(default=None, exclude_if=lambda chosen: chosen is None)
    anonymous: AnonymousRates = Field(
        default=AnonymousRates(), exclude_if=lambda rates: rates == AnonymousRates()
    )
    per_address: Rates = Field(default=Rates(), exclude_if=lambda rates: rates == Rates())
    models: Annotated[tuple[ModelRates, ...], Field(strict=False)] = Field(
        default=(), exclude_if=lambda models: not models
    )
    when_redis_is_down: Literal["open", "closed"] = Field(
        default="open", exclude_if=lambda chosen: chosen == "open"
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        twice = [name for name, n in Counter(model.name for model in self.models).items() if n > 1]
        if twice:
            raise ValueError(f".models: {twice[0]} is there twice; write it once")
        return self
