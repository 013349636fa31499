"""How many requests the engine gets at once, and how many may wait for their turn, how long."""

from typing import Annotated

from pydantic import Field

from llmservice_server.config.part import Part


class LimitsConfig(Part):
    """What is beyond is refused with 503 before an answer starts.

    ``running``: without a number, as many as the engine says suit it. ``waiting``: how many may
    wait, each with its body in memory. ``waitSeconds``: longer than a client waits for a first
    token is too long; less would refuse what a moment later had been served.
    """

    running: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    waiting: Annotated[int, Field(ge=0, le=1_000_000)] = 1024
    wait_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
