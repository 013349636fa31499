"""/api/chat: a conversation, of which the model gets as much of the newest as it can hold."""

import json
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from llmservice_server.api import conversations
from llmservice_server.api.caller import departure, passed_on
from llmservice_server.api.errors import RefusedError
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
from llmservice_server.api.generation import EventStream, Fields, chat_call, generate
from llmservice_server.api.inference import ERRORS
from llmservice_server.api.models import context_length, default_model, models
from llmservice_server.api.stored import StoredRoute, refusal
from llmservice_server.api.window import Said, certainly, estimate, fitting, newest
from llmservice_server.gateway.caller import caller_of
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.in_process import Call
from llmservice_server.store import failures

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
    conversation_id: (
        Annotated[
            str,
            Field(
                **conversations.ID,
                description="Goes on with that conversation of yours, of which the messages are "
                'those that are new; "new" begins one. Without it nothing is kept.',
                examples=["new"],
            ),
        ]
        | None
    ) = None


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
    """Of the messages, those of the conversation too, how many the model did not get, the oldest
    ones.
    """
    conversation_id: str | None = Field(default=None, exclude_if=lambda known: known is None)
    """By which it goes on, where it is kept."""


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One answer; with `stream`, or where event streams are accepted, events with"
        " `content`, the last before `[DONE]` with finish_reason, model and usage, or"
        " conversation_id, too.",
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
    made = APIRouter(route_class=StoredRoute, tags=["chat"], responses=ERRORS)
    contexts = _Contexts(context)

    @made.post(
        "/api/chat", summary="Answer a conversation", response_model=Answered, responses=_RESPONSES
    )
    async def chat(asked: Chat, request: Request) -> Answered | Response:
        turn = await _turn(context, asked, request)
        model = asked.model or await default_model(context, request)
        given = await contexts.window(asked, turn, model, request)
        unsaid = {"messages", "stream", "conversation_id"}
        wanted = {**asked.model_dump(exclude=unsaid), "model": model}
        call = await chat_call(context, request, [said.model_dump() for said in given], wanted)
        if asked.stream or "text/event-stream" in request.headers.get("accept", ""):
            return EventStream(context, call, "content", partial(_kept, turn) if turn else None)
        async with departure(request.receive) as gone:
            done = await generate(context, call, gone)
        return Answered(
            # Constructed: an answer may be empty, a message that is sent may not.
            message=Said.model_construct(role="assistant", content=done.text),
            model=done.model,
            finish_reason=done.finish_reason,
            usage=done.usage,
            dropped_messages=(turn.count if turn else len(asked.messages)) - len(given),
            conversation_id=await turn.keep(done.text) if turn else None,
        )

    if listing := conversations.router(context):
        made.include_router(listing)
    return made


async def _turn(context: Context, asked: Chat, request: Request) -> conversations.Turn | None:
    if (wanted := asked.conversation_id) is None:
        return None
    newest = context.config.api.max_context_messages
    return await conversations.turn(context, request, wanted, asked.messages, newest)


async def _kept(turn: conversations.Turn, answer: str) -> Fields:
    """What a stream says of its conversation at its end.

    Raises:
        RefusedError: the turn cannot be kept.
    """
    try:
        return {"conversation_id": await turn.keep(answer)}
    except (failures.RefusedError, failures.StoreError) as error:
        raise refusal(error) from None


class _Contexts:
    """How much each model holds, asked of the engine once a model."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known: dict[str, int | None] = {}

    async def window(
        self, asked: Chat, turn: conversations.Turn | None, model: str, request: Request
    ) -> list[Said]:
        """What the model gets of the conversation."""
        said = [*turn.kept, *asked.messages] if turn else asked.messages
        messages = newest(said, self._context.config.api.max_context_messages)
        room = await self._room(asked.max_tokens, model, request)
        # Of what was said before, the limits know nothing.
        if turn and (caller := caller_of(request.scope)) and caller.plan.max_prompt_tokens:
            room = min(room or caller.plan.max_prompt_tokens, caller.plan.max_prompt_tokens)
        if room is None:
            return messages  # nobody knows what would fit

        async def fits(tried: list[Said]) -> bool:
            if certainly(tried) <= room:
                return True
            counted = await self._count(model, tried, request)
            return (estimate(tried) if counted is None else counted) <= room

        return await fitting(messages, fits)

    async def _room(self, answer: int | None, model: str, request: Request) -> int | None:
        """Tokens that a prompt may have beside its answer; None where nobody knows."""
        length = await self._length(model, request)
        return length and length - min(answer or _ROOM, length // _SHARE)

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
