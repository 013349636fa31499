"""The servers behind the engine ``proxy``: where they are, what they serve, and where a key lies.

A key itself is nowhere in the file, and a value that is refused where one might stand by mistake
is not repeated.
"""

from collections import Counter
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from llmservice_server.config.part import Part
from llmservice_server.config.place import SecretPlace

Seconds = Annotated[float, Field(gt=0, le=86400)]


def base_url(url: str) -> str:
    """The address as requests are appended to it.

    Raises:
        ValueError: what to write instead; the address is not repeated, for it may hold a password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(": not an address; write it as https://api.openai.com/v1") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or url != "".join(url.split()):
        raise ValueError(": write an http:// or https:// address, as https://api.openai.com/v1")
    if "@" in parts.netloc:
        raise ValueError(": holds credentials; remove them, and name the key in apiKey")
    if parts.query or parts.fragment:
        raise ValueError(": write the address without ? and #")
    return url.rstrip("/")


class UpstreamModel(Part):
    """``name`` is what clients write; ``upstream_name`` what the upstream calls it, if not so."""

    name: Annotated[str, Field(min_length=1)]
    upstream_name: Annotated[str, Field(min_length=1)] | None = None


class UpstreamConfig(Part):
    """One OpenAI-compatible server; without models, all that it lists itself."""

    url: Annotated[str, AfterValidator(base_url)]
    models: Annotated[tuple[UpstreamModel, ...], Field(strict=False)] = ()
    api_key: SecretPlace = None
    weight: Annotated[int, Field(ge=1, le=1000)] = 1

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        twice = [name for name, n in Counter(m.name for m in self.models).items() if n > 1]
        if twice:
            raise ValueError(f".models: {twice[0]} is there twice; write it once an upstream")
        return self


class TimeoutsConfig(Part):
    """How long an upstream may take: to accept, to begin its answer, and between two pieces."""

    connect_seconds: Seconds = 5
    # A long answer that is not streamed begins when it is whole.
    first_byte_seconds: Seconds = 300
    idle_seconds: Seconds = 120
