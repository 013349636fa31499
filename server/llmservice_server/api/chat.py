"""/api/chat: a conversation, of which the model gets as much of the newest as it can hold."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from llmservice_server.api.caller import departure, passed_on
from llmservice_server.api.errors import RefusedError, Route
from llmservice_server.api.fields import (
    Body,
    MaxTokens,
    ModelName,
    Stop,
    Stream,
    Temperature,
    TopP,
    Usage,
)
from llmservice_server.api.generation import EventStream, chat_call, generate
from llmservice_server.api.inference import ERRORS
from llmservice_server.api.models import context_length, default_model, models
from llmservice_server.api.window import Said, certainly, estimate, fitting, newest
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.in_process import Call

_ROOM = 256  # tokens kept for an answer of which no length was asked
_SHARE = 2  # of the context, at most the half is kept for the answer


class Chat(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "messages": [
                    {"role": "system", "content": "Answer in one sentence."},
                    {"role": "user", "content": "What is the capital of France?"},
                ],
                "temperature": 0,
            }
        }
    )
    messages: Annotated[list[Said], Field(min_length=1, max_length=10_000)]
    stream: Stream = False
    max_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stop: Stop | None = None
    model: ModelName | None = None


class Answered(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": {"role": "assistant", "content": "The capital of France is Paris."},
                "model": "smollm2",
                "finish_reason": "stop",
                "usage": {"prompt_tokens": 41, "completion_tokens": 8, "total_tokens": 49},
                "dropped_messages": 0,
            }
        }
    )
    message: Said
    model: str
    finish_reason: str | None
    usage: Usage
    dropped_messages: int
    """Of the messages sent, how many the model did not get, the oldest ones."""


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One answer; with `stream`, or where event streams are accepted, events with"
        " `content`, the last before `[DONE]` with finish_reason, model and usage.",
        "content": {
            "text/event-stream": {
                "example": 'data: {"content":"The capital"}\n\ndata: {"content":" is Paris."}\n\n'
                'data: {"finish_reason":"stop","model":"smollm2","usage":{"prompt_tokens":41,'
                '"completion_tokens":8,"total_tokens":49}}\n\ndata: [DONE]\n\n'
            }
        },
    }
}


def router(context: Context) -> APIRouter:
    made = APIRouter(route_class=Route, tags=["chat"], responses=ERRORS)
    contexts = _Contexts(context)

    @made.post(
        "/api/chat", summary="Answer a conversation", response_model=Answered, responses=_RESPONSES
    )
    async def chat(asked: Chat, request: Request) -> Answered | Response:
        model = asked.model or await default_model(context, request)
        kept = await contexts.window(asked, model, request)
        wanted = {**asked.model_dump(exclude={"messages", "stream"}), "model": model}
        call = await chat_call(context, request, [said.model_dump() for said in kept], wanted)
        if asked.stream or "text/event-stream" in request.headers.get("accept", ""):
            return EventStream(context, call, "content")
        async with departure(request.receive) as gone:
            done = await generate(context, call, gone)
        return Answered(
            # Constructed: an answer may be empty, a message that is sent may not.
            message=Said.model_construct(role="assistant", content=done.text),
            model=done.model,
            finish_reason=done.finish_reason,
            usage=done.usage,
            dropped_messages=len(asked.messages) - len(kept),
        )

    return made


class _Contexts:
    """How much each model holds, asked of the engine once a model."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known: dict[str, int | None] = {}

    async def window(self, asked: Chat, model: str, request: Request) -> list[Said]:
        """What the model gets of the conversation."""
        messages = newest(asked.messages, self._context.config.api.max_context_messages)
        length = await self._length(model, request)
        if length is None:
            return messages  # nobody knows what would fit
        room = length - min(asked.max_tokens or _ROOM, length // _SHARE)

        async def fits(tried: list[Said]) -> bool:
            if certainly(tried) <= room:
                return True
            counted = await self._count(model, tried, request)
            return (estimate(tried) if counted is None else counted) <= room

        return await fitting(messages, fits)

    async def _length(self, model: str, request: Request) -> int | None:
        if model not in self._known:
            try:
                known = await models(self._context, request)
            except RefusedError:
                return None
            served = {str(one["id"]): one for one in known}
            if model not in served:
                return None  # the engine says so itself, and a client's words are not kept
            own = served[model]
            base = served.get(str(own.get("parent")), {})
            self._known[model] = context_length(own) or context_length(base)
        return self._known[model]

    async def _count(self, model: str, messages: list[Said], request: Request) -> int | None:
        """By the engine's own template and tokenizer; None where it has no such route."""
        body = {"model": model, "messages": [said.model_dump() for said in messages]}
        answer = await self._context.below.ask(Call("POST", "/tokenize", body, passed_on(request)))
        try:
            count = json.loads(answer.body)["count"] if answer.status == 200 else None
        except (ValueError, LookupError, TypeError):
            return None
        return count if isinstance(count, int) else None
