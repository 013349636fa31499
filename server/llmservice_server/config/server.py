"""The whole file."""

import json
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Self, cast

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from llmservice_server.config import strict_yaml
from llmservice_server.config.api import ApiConfig
from llmservice_server.config.auth import AuthConfig
from llmservice_server.config.cache import CacheConfig
from llmservice_server.config.database import DatabaseConfig
from llmservice_server.config.engine import EngineConfig, ModelConfig
from llmservice_server.config.environment import overlaid
from llmservice_server.config.faults import ConfigError, faults, one_line
from llmservice_server.config.history import HistoryConfig
from llmservice_server.config.http import HttpConfig
from llmservice_server.config.idempotency import IdempotencyConfig
from llmservice_server.config.limits import LimitsConfig
from llmservice_server.config.part import Part
from llmservice_server.config.price import Price
from llmservice_server.config.redis import RedisConfig
from llmservice_server.config.tracing import TracingConfig

LogLevel = Literal["debug", "info", "warning", "error"]


class DrainConfig(Part):
    """Seconds after SIGTERM: serve on through the grace, then wait for what is in flight."""

    grace_seconds: Annotated[int, Field(ge=0)] = 10
    timeout_seconds: Annotated[int, Field(ge=0)] = 300


class LivenessConfig(Part):
    """How long an engine with requests may give no token before it counts as hung; 0: never."""

    hang_seconds: Annotated[int, Field(ge=0)] = 300


class ServerConfig(Part):
    """The whole file. Immutable; YAML names are camelCase."""

    # Of vLLM; a proxy's models are named by its upstreams.
    model: ModelConfig | None = None
    engine: EngineConfig = EngineConfig()
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    http: HttpConfig = HttpConfig()
    limits: LimitsConfig = LimitsConfig()
    drain: DrainConfig = DrainConfig()
    liveness: LivenessConfig = LivenessConfig()
    api: ApiConfig = ApiConfig()
    # Not written where nothing is, for older servers' sake.
    auth: AuthConfig = Field(default=AuthConfig(), exclude_if=lambda auth: auth == AuthConfig())
    redis: RedisConfig = Field(
        default=RedisConfig(), exclude_if=lambda redis: redis == RedisConfig()
    )
    log_level: LogLevel = "info"
    tracing: TracingConfig = TracingConfig()
    environment: Annotated[str, Field(min_length=1)] = "production"
    # Not written where there are none, for older servers' sake.
    database: DatabaseConfig | None = Field(
        default=None, exclude_if=lambda database: database is None
    )
    history: HistoryConfig | None = Field(default=None, exclude_if=lambda history: history is None)
    cache: CacheConfig | None = Field(default=None, exclude_if=lambda cache: cache is None)
    idempotency: IdempotencyConfig | None = Field(
        default=None, exclude_if=lambda kept: kept is None
    )
    prices: Annotated[tuple[Price, ...], Field(strict=False)] = Field(
        default=(), exclude_if=lambda prices: not prices
    )

    @model_validator(mode="after")
    def _of_one_engine(self) -> Self:
        if self.engine.type == "vllm" and self.model is None:
            raise ValueError("model: is missing; write it")
        if self.engine.type == "proxy" and self.model is not None:
            raise ValueError("model: a proxy loads none; name models in engine.upstreams")
        return self

    @field_validator("prices")
    @classmethod
    def _one_each(cls, prices: tuple[Price, ...]) -> tuple[Price, ...]:
        twice = [name for name, n in Counter(p.model for p in prices).items() if n > 1]
        if twice:
            raise ValueError(f": {twice[0]} is there twice; write it once")
        return prices

    @property
    def loaded(self) -> ModelConfig:
        """The model that vLLM loads."""
        if self.model is None:
            raise TypeError("a proxy loads no model")
        return self.model

    @property
    def served_name(self) -> str | None:
        """The model that a request without one means; None where an upstream lists its own."""
        if self.model is not None:
            return self.model.served_name
        named = (model.name for upstream in self.engine.upstreams for model in upstream.models)
        return next(named, None)

    def to_yaml(self) -> str:
        """The file, every field written out, the same text for the same configuration."""
        parts = self.model_dump(by_alias=True, mode="json")
        return "".join(_written(name, json.dumps(parts[name])) for name in sorted(parts))

    @classmethod
    def from_yaml(cls, text: str, environment: Mapping[str, str] | None = None) -> Self:
        """Parse a file's text, with what the environment says in place of what it says.

        Raises:
            ConfigError: one line, naming each field or variable that is wrong.
        """
        try:
            document: object = strict_yaml.load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"not YAML: {one_line(str(error))}") from None
        if not isinstance(document, dict):
            raise ConfigError("not a mapping; write model:, engine:, port:, drain: and logLevel:")
        return cls.effective(cast("dict[str, Any]", document), environment or {})

    @classmethod
    def effective(cls, document: Mapping[str, Any], environment: Mapping[str, str]) -> Self:
        """What the environment, the document and the defaults are together, in this order.

        Raises:
            ConfigError: one line, naming each field or variable that is wrong.
        """
        document, variables = overlaid(document, cls, environment)
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise ConfigError(faults(error, variables)) from None


@lru_cache
def _written(name: str, part: str) -> str:
    """Of a thousand configurations most parts are alike, and to write YAML takes its time."""
    return yaml.dump({name: json.loads(part)}, Dumper=yaml.CSafeDumper)
