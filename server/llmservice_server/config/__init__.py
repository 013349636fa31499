"""The server's configuration file: the one contract between the operator and the server.

Promises that a file which parses can be served as far as the file alone tells, and that one which
does not is refused with one line that names the field, its fault and what to write. Imports
pydantic and yaml only, reads no file and no environment: the operator imports it to render it.
"""

from llmservice_server.config.api import ApiConfig
from llmservice_server.config.auth import AuthConfig, OidcConfig
from llmservice_server.config.cache import CacheConfig
from llmservice_server.config.database import DatabaseConfig
from llmservice_server.config.engine import EngineConfig, EngineType, ModelConfig
from llmservice_server.config.faults import ConfigError
from llmservice_server.config.history import HistoryConfig
from llmservice_server.config.http import (
    HOST,
    HOST_FAULT,
    ORIGIN,
    ORIGIN_FAULT,
    CorsConfig,
    HttpConfig,
)
from llmservice_server.config.idempotency import IdempotencyConfig
from llmservice_server.config.limits import AnonymousRates, LimitsConfig, ModelRates
from llmservice_server.config.place import Place
from llmservice_server.config.plan import NAME as PLAN_NAME
from llmservice_server.config.plan import Plan, Rates
from llmservice_server.config.price import Price
from llmservice_server.config.redis import RedisConfig
from llmservice_server.config.reserved_args import RESERVED_ARGS
from llmservice_server.config.server import DrainConfig, LivenessConfig, LogLevel, ServerConfig
from llmservice_server.config.tracing import TracingConfig
from llmservice_server.config.upstream import (
    TimeoutsConfig,
    UpstreamConfig,
    UpstreamModel,
    base_url,
)

__all__ = [
    "HOST",
    "HOST_FAULT",
    "ORIGIN",
    "ORIGIN_FAULT",
    "PLAN_NAME",
    "RESERVED_ARGS",
    "AnonymousRates",
    "ApiConfig",
    "AuthConfig",
    "CacheConfig",
    "ConfigError",
    "CorsConfig",
    "DatabaseConfig",
    "DrainConfig",
    "EngineConfig",
    "EngineType",
    "HistoryConfig",
    "HttpConfig",
    "IdempotencyConfig",
    "LimitsConfig",
    "LivenessConfig",
    "LogLevel",
    "ModelConfig",
    "ModelRates",
    "OidcConfig",
    "Place",
    "Plan",
    "Price",
    "Rates",
    "RedisConfig",
    "ServerConfig",
    "TimeoutsConfig",
    "TracingConfig",
    "UpstreamConfig",
    "UpstreamModel",
    "base_url",
]
