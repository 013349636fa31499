"""/inference and /stream: a prompt in, its continuation out, whole or as server-sent events."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from llmservice_server.api.errors import OpenAIError, Route
from llmservice_server.api.fields import (
    DEFAULT_TOKENS,
    Body,
    MaxTokens,
    ModelName,
    Prompt,
    Stop,
    Temperature,
    TopP,
    Usage,
)
from llmservice_server.api.generation import EventStream, continued, prompt_call
from llmservice_server.gateway.context import Context

_PROMPT = "The capital of France is"


class Inference(Body):
    model_config = ConfigDict(
        json_schema_extra={"example": {"prompt": _PROMPT, "max_tokens": 5, "temperature": 0}}
    )
    prompt: Prompt
    max_tokens: MaxTokens = DEFAULT_TOKENS
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stop: Stop | None = None
    model: ModelName | None = None


class Inferred(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "text": " Paris.",
                "model": "smollm2",
                "finish_reason": "stop",
                "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
            }
        }
    )
    text: str
    model: str
    finish_reason: str | None
    """stop: the model ended; length: max_tokens did."""
    usage: Usage


EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events with `text`; the last before `[DONE]` has finish_reason, model and"
        " usage. One with `error` means that the answer is not complete.",
        "content": {
            "text/event-stream": {
                "example": 'data: {"text":" Paris"}\n\ndata: {"text":"."}\n\n'
                'data: {"finish_reason":"stop","model":"smollm2","usage":{"prompt_tokens":5,'
                '"completion_tokens":2,"total_tokens":7}}\n\ndata: [DONE]\n\n'
            }
        },
    }
}
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": OpenAIError, "description": "The request is wrong, or too long for the model"},
    404: {"model": OpenAIError, "description": "No such model"},
    429: {"model": OpenAIError, "description": "Too much from this caller; see Retry-After"},
    503: {"model": OpenAIError, "description": "Too much for this server; see Retry-After"},
}


def router(context: Context) -> APIRouter:
    made = APIRouter(route_class=Route, tags=["inference"], responses=ERRORS)

    async def events(request: Request, asked: Inference) -> EventStream:
        wanted = asked.model_dump(exclude={"prompt"})
        call = await prompt_call(context, request, asked.prompt, wanted)
        return EventStream(context, call, "text")

    @made.post("/inference", summary="Continue a prompt")
    async def inference(asked: Inference, request: Request) -> Inferred:
        wanted = asked.model_dump(exclude={"prompt"})
        done = await continued(context, request, asked.prompt, wanted)
        return Inferred(
            text=done.text, model=done.model, finish_reason=done.finish_reason, usage=done.usage
        )

    @made.post(
        "/stream",
        summary="Continue a prompt, as events",
        response_class=Response,
        responses=EVENTS,
    )
    async def stream(asked: Inference, request: Request) -> Response:
        return await events(request, asked)

    @made.get(
        "/stream",
        summary="The same with a query, as browsers' EventSource asks",
        response_class=Response,
        responses=EVENTS,
    )
    async def stream_of_query(asked: Annotated[Inference, Query()], request: Request) -> Response:
        return await events(request, asked)

    return made
