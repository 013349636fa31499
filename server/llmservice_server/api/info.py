"""GET / and GET /info: what this server is, and which model it serves.

And, for /docs, the routes that the gateway answers before any other.
"""

import asyncio
import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, cast

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from llmservice_server.api.caller import passed_on
from llmservice_server.api.errors import OpenAIError, Route
from llmservice_server.api.models import context_length, default_model, models
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.in_process import Call


class Service(BaseModel):
    """What this server is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "service": "llmservice",
                "version": "0.1.0",
                "engine": "vllm",
                "model": "smollm2",
                "status": "ready",
                "documentation": "/docs",
                "routes": ["/health", "/inference", "/info", "/stream", "/v1/models"],
            }
        }
    )
    service: str = "llmservice"
    version: str
    engine: str
    model: str | None
    """The one that a request without a model means; null while no upstream has told its own."""
    status: str
    documentation: str | None
    """Where /docs is, if it is on."""
    routes: list[str]
    """Those beside OpenAI's."""


class ModelInfo(BaseModel):
    """The model that is served, and what else may be named as ``model`` in a request."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "smollm2",
                "version": None,
                "source": "pvc://models/smollm2",
                "context_length": 1024,
                "adapters": [],
                "models": ["smollm2"],
                "engine": "vllm",
                "engine_version": "0.32.0",
            }
        }
    )
    name: str
    version: str | None
    """The revision that the configuration names, if it names one."""
    source: str | None
    """Where it was loaded from; null of what a proxy's upstreams serve."""
    context_length: int | None
    """Tokens of question and answer together; null where the engine does not tell."""
    adapters: list[str]
    models: list[str]
    engine: str
    engine_version: str | None


class Checked(BaseModel):
    """What a check says; more fields where there is more to tell."""

    model_config = ConfigDict(extra="allow")
    status: str


def router(context: Context, others: Sequence[APIRouter]) -> APIRouter:
    """With the others' routes named at its root."""
    made = APIRouter(route_class=Route, tags=["service"])
    config = context.config
    paths = {getattr(route, "path", "") for other in others for route in other.routes}

    @made.get("/", summary="What this server is")
    async def service() -> Service:
        return Service(
            version=version("llmservice-server"),
            engine=config.engine.type,
            model=config.served_name,
            status=context.status,
            documentation="/docs" if config.api.docs else None,
            routes=sorted({"/v1/models", "/info", *paths}),
        )

    @made.get("/info", summary="The model that is served", responses={503: {"model": OpenAIError}})
    async def info(request: Request) -> ModelInfo:
        known, told = await asyncio.gather(models(context, request), _version(context, request))
        named = await default_model(context, request)
        own = {str(model["id"]): model for model in known}.get(named)
        return ModelInfo(
            name=named,
            version=config.model.revision if config.model else None,
            source=config.model.uri if config.model else None,
            context_length=context_length(own) if own else None,
            adapters=[str(model["id"]) for model in known if model.get("parent")],
            models=[str(model["id"]) for model in known],
            engine=config.engine.type,
            engine_version=told,
        )

    return made


def probes(context: Context) -> APIRouter:
    """For /docs alone: the gateway answers these before they come here."""
    made = APIRouter(tags=["service"])

    def told(path: str, summary: str, example: dict[str, Any], failing: int | None) -> None:
        async def answered_before() -> Checked:
            raise RuntimeError(f"{path} is the gateway's")

        codes: dict[int | str, dict[str, Any]] = {
            200: {"content": {"application/json": {"example": example}}}
        }
        if failing:
            codes[failing] = {"model": Checked, "description": "It is not; `reason` says why."}
        made.add_api_route(
            path,
            answered_before,
            methods=["GET"],
            summary=summary,
            responses=codes,
            operation_id=f"llmservice_{path.strip('/')}",
        )

    model = context.config.served_name or "my-model"
    since = {"since": "2026-01-31T12:00:00Z", "seconds": 12.3}
    told("/livez", "Would a restart help?", {"status": "alive"}, 503)
    told("/readyz", "May requests be sent here?", {"status": "ready"}, 503)
    health = {
        "status": "ready",
        "api_status": "serving",
        "model_status": "loaded",
        "gpu_status": "in-use",
        "model": model,
        "in_flight": 0,
        "timestamp": "2026-01-31T12:00:00Z",
        "uptime_seconds": 73.5,
    }
    told("/health", "How the server is, for people and tools", health, 503)
    phases = [{"phase": "weights", "seconds": 9.1}, {"phase": "ready", "seconds": 12.3}]
    status = {"status": "ready", "phase": "ready", **since, "phases": phases, "model": model}
    told("/status", "How far the server is, and for how long", status, None)
    return made


async def _version(context: Context, request: Request) -> str | None:
    answer = await context.below.ask(Call("GET", "/version", headers=passed_on(request)))
    try:
        document: Any = json.loads(answer.body)
    except ValueError:
        return None
    if answer.status != 200 or not isinstance(document, dict):
        return None
    told = cast("dict[str, Any]", document).get("version")
    return told if isinstance(told, str) else None
