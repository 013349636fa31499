"""The ConfigMap with the server's configuration, named by its content and never changed.

A rollback brings the old name back and with it the old configuration; a changed one makes a new
template, and so a rollout.
"""

import hashlib

from llmservice_server.config import (
    ApiConfig,
    CorsConfig,
    DrainConfig,
    EngineConfig,
    HttpConfig,
    ModelConfig,
    Place,
    ServerConfig,
    TimeoutsConfig,
    TracingConfig,
    UpstreamConfig,
    UpstreamModel,
)

from llmservice_operator.api.engine import Timeouts
from llmservice_operator.api.gpu import Gpu
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.resource import LLMService
from llmservice_operator.render import callers
from llmservice_operator.render.identity import metadata
from llmservice_operator.render.invalid import at

KEY = "config.yaml"
GRACE_SECONDS = 10
"""How long a pod that is being ended serves on, while proxies learn that it goes (5 to 15 s)."""

_HASH_LENGTH = 10


def configuration(service: LLMService) -> Manifest:
    """The ConfigMap. Raises InvalidSpec where the server would refuse the configuration."""
    text = _server_config(service).to_yaml()
    content = hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(service, f"{service.metadata.name}-{content}"),
        "immutable": True,
        "data": {KEY: text},
    }


def _server_config(service: LLMService) -> ServerConfig:
    spec = service.spec
    return ServerConfig(
        model=_model(service),
        engine=_engine(service),
        http=HttpConfig(
            max_body_bytes=spec.gateway.max_body_bytes,
            trusted_hosts=list(spec.gateway.trusted_hosts),
            cors=CorsConfig(origins=list(spec.gateway.cors.origins)),
        ),
        limits=callers.limits(service),
        api=ApiConfig(**spec.gateway.api.model_dump()),
        auth=callers.auth(service),
        redis=callers.redis(service),
        database=callers.database(service),
        prices=callers.prices(service),
        history=callers.history(service),
        cache=callers.cache(service),
        idempotency=callers.idempotency(service),
        drain=DrainConfig(grace_seconds=GRACE_SECONDS, timeout_seconds=spec.rollout.drain_seconds),
        log_level=spec.observability.log_level,
        tracing=TracingConfig(otlp_endpoint=spec.observability.otlp_endpoint),
    )


def _engine(service: LLMService) -> EngineConfig:
    said, gpu = service.spec.engine, service.spec.gpu or Gpu()
    with at("spec.engine"):
        return EngineConfig(
            type=said.type,
            args=dict(said.args),
            tensor_parallel=gpu.tensor_split,
            pipeline_parallel=gpu.pipeline_parallel,
            upstreams=_upstreams(service),
            timeouts=TimeoutsConfig(**(said.timeouts or Timeouts()).model_dump()),
        )


def _model(service: LLMService) -> ModelConfig | None:
    model = service.spec.model
    return model and ModelConfig(
        uri=model.uri,
        source=model.source,
        served_name=service.served_name,
        revision=model.revision,
    )


def _upstreams(service: LLMService) -> tuple[UpstreamConfig, ...]:
    return tuple(
        UpstreamConfig(
            url=upstream.url,
            models=tuple(
                UpstreamModel(name=model.name, upstream_name=model.upstream_name)
                for model in upstream.models
            ),
            api_key=Place(variable=key_variable(number)) if upstream.api_key_secret else None,
            weight=upstream.weight,
        )
        for number, upstream in enumerate(service.spec.engine.upstreams)
    )


def key_variable(number: int) -> str:
    """The variable that holds the key of the upstream with this number, from 0."""
    return f"UPSTREAM_{number}_API_KEY"
