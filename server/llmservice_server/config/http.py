"""What a request may cost before anybody has looked at what it asks for, and who may send it."""

import re
from typing import Annotated

from pydantic import Field, field_validator

from llmservice_server.config.part import Part

HOST = r"^((\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])$"
"""A host's name without a port; *. at its beginning stands for every name below."""
HOST_FAULT = "not the name of a host; write api.example.com or *.example.com, without a port"
ORIGIN = r"^(\*|[a-z][a-z0-9+.-]*://[A-Za-z0-9_.\[\]:-]+)$"
ORIGIN_FAULT = "not an origin; write https://HOST, https://HOST:PORT or *"

Seconds = Annotated[int, Field(ge=1, le=3600)]


class CorsConfig(Part):
    """Which pages' scripts may call the server from a browser; none by default."""

    origins: list[str] = Field(default_factory=list)

    @field_validator("origins")
    @classmethod
    def _origins(cls, origins: list[str]) -> list[str]:
        for number, origin in enumerate(origins):
            if not re.fullmatch(ORIGIN, origin):
                raise ValueError(f".{number}: {ORIGIN_FAULT}")
        return origins


class HttpConfig(Part):
    """Bounds on connections, heads and bodies, and the names that the server answers to.

    The body's bound leaves room for OpenAI's largest upload of audio, 25 MB. ``trustedHosts``:
    empty answers to any name, since a Service has many and is reached by address too.
    """

    max_body_bytes: Annotated[int, Field(ge=1, le=2**40)] = 32 * 2**20
    max_header_bytes: Annotated[int, Field(ge=1024, le=2**24)] = 64 * 2**10
    header_seconds: Seconds = 10
    body_seconds: Seconds = 60
    max_connections: Annotated[int, Field(ge=16, le=1_000_000)] = 8192
    trusted_hosts: list[str] = Field(default_factory=list)
    cors: CorsConfig = CorsConfig()

    @field_validator("trusted_hosts")
    @classmethod
    def _hosts(cls, hosts: list[str]) -> list[str]:
        for number, host in enumerate(hosts):
            if not re.fullmatch(HOST, host):
                raise ValueError(f".{number}: {HOST_FAULT}")
        return hosts
