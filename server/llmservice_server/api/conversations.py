"""Conversations that are kept for a user: what /api/chat goes on with, to list, read and delete.

Promises that a turn, what the user said and what was answered, is kept whole or not at all; that of
two turns at once one is kept and the other one told so; that nobody learns of another user's.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict

from llmservice_server.api.errors import RefusedError
from llmservice_server.api.inference import ERRORS
from llmservice_server.api.stored import StoredRoute
from llmservice_server.api.window import Said
from llmservice_server.gateway.caller import caller_of
from llmservice_server.gateway.context import Context

if TYPE_CHECKING:
    from llmservice_server.store.conversations import Conversation, Conversations

NEW = "new"
"""The id by which a new one is asked for."""
_ID = "conversation_id"
_NOT_KEPT = (
    "conversation_id: this server keeps no conversations; leave it out, or have history, database "
    "and auth written in the server's configuration"
)
_NOBODYS = "a conversation belongs to a user; show a key"
_FULL = 'conversation_id: the conversation is full; begin a new one with "new"'

Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many.")]
ID: dict[str, Any] = {"min_length": 1, "max_length": 64, "pattern": r"^[A-Za-z0-9_-]+$"}
"""What an id may be, "new" included."""
Id = Annotated[str, Path(**ID)]


class Listed(BaseModel):
    id: str
    created: datetime
    changed: datetime
    """When its last message came."""
    message_count: int


class Whole(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "Zs0x1kq8VdJ5o2nF",
                "created": "2026-01-31T12:00:00Z",
                "changed": "2026-01-31T12:00:05Z",
                "messages": [
                    {"role": "user", "content": "What is the capital of France?"},
                    {"role": "assistant", "content": "The capital of France is Paris."},
                ],
            }
        }
    )
    id: str
    created: datetime
    changed: datetime
    messages: list[dict[str, Any]]


def _owner(request: Request) -> str:
    caller = caller_of(request.scope)
    if caller is None or caller.user is None:
        raise RefusedError(403, "permission_error", f"{_ID}: {_NOBODYS}", param=_ID)
    return caller.tenant


Owner = Annotated[str, Depends(_owner)]


@dataclass(frozen=True)
class Turn:
    """What a user says in a conversation, and what of it was said before."""

    conversations: "Conversations"
    owner: str
    before: "Conversation | None"
    kept: list[Said]
    said: list[Said]

    @property
    def count(self) -> int:
        """Messages, all of those that were kept included."""
        return (self.before.messages if self.before else 0) + len(self.said)

    async def keep(self, answer: str) -> str:
        """Keep it with its answer; the conversation's id.

        Raises:
            failures.RefusedError: it went on meanwhile, or is gone.
            failures.StoreError: it cannot be kept now.
        """
        messages = [*map(Said.model_dump, self.said), {"role": "assistant", "content": answer}]
        if self.before is None:
            return (await self.conversations.begin(self.owner, messages)).id
        id_, after = self.before.id, self.before.messages
        return (await self.conversations.go_on(self.owner, id_, after, messages)).id


async def turn(
    context: Context, request: Request, conversation: str, said: list[Said], newest: int
) -> Turn:
    """A turn in that conversation, or in a new one; with so many of its newest messages.

    Raises:
        RefusedError: none can be kept here, or not for who asks.
        failures.RefusedError: there is no such conversation, or it is full.
        failures.StoreError: nobody knows now.
    """
    kept = _kept(context)
    if kept is None:
        raise RefusedError(400, "invalid_request_error", _NOT_KEPT, param=_ID)
    owner = _owner(request)
    if conversation == NEW:
        await kept.may_begin(owner)
        return _fitting(Turn(kept, owner, None, [], said))
    before, messages = await kept.messages(owner, conversation, newest)
    # Constructed: an answer may be empty, a message that is sent may not.
    loaded = [Said.model_construct(**message) for message in messages]
    return _fitting(Turn(kept, owner, before, loaded, said))


def router(context: Context) -> APIRouter | None:
    """The routes, where conversations are kept."""
    kept = _kept(context)
    if kept is None:
        return None
    made = APIRouter(route_class=StoredRoute, tags=["chat"], responses=ERRORS)

    @made.get("/api/conversations", summary="Your conversations, those first that changed last")
    async def conversations(
        owner: Owner, limit: Limit = 100, before: datetime | None = None
    ) -> list[Listed]:
        """before: when the last one known changed; those that changed before it."""
        found = await kept.conversations(owner, limit, before)
        return [Listed(message_count=one.messages, **_times(one)) for one in found]

    @made.get("/api/conversations/{id}", summary="One conversation")
    async def conversation(owner: Owner, id: Id) -> Whole:  # noqa: A002  the address' name
        found, messages = await kept.messages(owner, id)
        return Whole(messages=list(messages), **_times(found))

    @made.delete("/api/conversations/{id}", summary="Delete a conversation", status_code=204)
    async def delete(owner: Owner, id: Id) -> None:  # noqa: A002
        await kept.delete(owner, id)

    return made


def _kept(context: Context) -> "Conversations | None":
    on = context.config.history and context.config.auth.on
    return context.store.conversations if on and context.store else None


def _fitting(made: Turn) -> Turn:
    """Raises RefusedError: there would be more in the conversation than there may be."""
    from llmservice_server.store.conversations import MOST_BYTES, MOST_MESSAGES  # noqa: PLC0415

    size = (made.before.bytes if made.before else 0) + sum(len(m.content) for m in made.said)
    if made.count + 1 > MOST_MESSAGES or size > MOST_BYTES:
        raise RefusedError(400, "invalid_request_error", _FULL, param=_ID)
    return made


def _times(one: "Conversation") -> dict[str, Any]:
    return {"id": one.id, "created": one.created, "changed": one.changed}
