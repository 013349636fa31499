"""/api/v1/infer and /api/v1/model: a prompt in, text out, and which model gives it."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from llmservice_server.api.errors import Route
from llmservice_server.api.fields import (
    DEFAULT_TOKENS,
    Body,
    MaxTokens,
    ModelName,
    Prompt,
    Temperature,
    Usage,
)
from llmservice_server.api.generation import continued
from llmservice_server.api.inference import ERRORS
from llmservice_server.api.models import default_model
from llmservice_server.gateway.context import Context


class Infer(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {"prompt": "The capital of France is", "max_tokens": 5, "temperature": 0}
        }
    )
    prompt: Prompt
    max_tokens: MaxTokens = DEFAULT_TOKENS
    temperature: Temperature | None = None
    model: ModelName | None = None


class Inferred(BaseModel):
    model_config = ConfigDict(
        protected_namespaces=(),
        json_schema_extra={
            "example": {
                "text": " Paris.",
                "model_name": "smollm2",
                "model_version": None,
                "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
            }
        },
    )
    text: str
    model_name: str
    model_version: str | None
    usage: Usage


class Model(BaseModel):
    model_config = ConfigDict(
        protected_namespaces=(),
        json_schema_extra={
            "example": {
                "model_name": "smollm2",
                "model_version": None,
                "status": "ready",
                "description": "pvc://models/smollm2, served by vllm",
            }
        },
    )
    model_name: str
    model_version: str | None
    """The revision that the configuration names, if it names one."""
    status: str
    """As GET /readyz says it."""
    description: str


def router(context: Context) -> APIRouter:
    made = APIRouter(prefix="/api/v1", route_class=Route, tags=["api/v1"])
    loaded = context.config.model
    revision = loaded.revision if loaded else None
    source = loaded.uri if loaded else "upstreams' models"

    @made.post("/infer", summary="Continue a prompt", responses=ERRORS)
    async def infer(asked: Infer, request: Request) -> Inferred:
        wanted = asked.model_dump(exclude={"prompt"})
        done = await continued(context, request, asked.prompt, wanted)
        return Inferred(
            text=done.text,
            model_name=done.model,
            model_version=revision,
            usage=done.usage,
        )

    @made.get("/model", summary="The model that answers")
    async def model(request: Request) -> Model:
        return Model(
            model_name=await default_model(context, request),
            model_version=revision,
            status=context.status,
            description=f"{source}, served by {context.config.engine.type}",
        )

    return made
