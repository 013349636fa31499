"""/admin/v1: what the command does, for programs with the key of an administrator.

That the key is one is identity's to find out before a request comes here; what comes here without
is refused again.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from llmservice_server.admin.asked import (
    AskedHistory,
    AskedUsage,
    MonthName,
    NewKey,
    NewPlan,
    NewUser,
    PlanName,
    RequestNumber,
    UserName,
    this_month,
)
from llmservice_server.admin.issue import Issue, MadeKey
from llmservice_server.admin.metrics import CONTENT_TYPE, metrics
from llmservice_server.api.errors import OpenAIError, RefusedError
from llmservice_server.api.stored import StoredRoute
from llmservice_server.config import Plan
from llmservice_server.gateway.caller import caller_of
from llmservice_server.store.audit import Entry
from llmservice_server.store.history import KeptRequest, WholeRequest
from llmservice_server.store.keys import Key
from llmservice_server.store.people import KnownPlan, User
from llmservice_server.store.store import Store
from llmservice_server.store.usage import Month, Used

Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many.")]
After = Annotated[str, Query(description="Those that come after this one, the last one known.")]
_CODES = {
    400: "What was asked for cannot be; the message says what to do instead.",
    403: "The key is no administrator's.",
    404: "There is nothing by that name.",
    409: "What is there already is in the way.",
    503: "The database does not answer; nothing was changed.",
}


async def _actor(request: Request) -> str:
    caller = caller_of(request.scope)
    if caller is None or not caller.admin:
        message = "This needs the key of an administrator."
        raise RefusedError(403, "permission_error", message)
    return f"key {caller.key}" if caller.key else f"user {caller.user}"


Actor = Annotated[str, Depends(_actor)]


def router(store: Store, issue: Issue) -> APIRouter:
    """The routes on this store."""
    codes: dict[int | str, dict[str, Any]] = {
        code: {"model": OpenAIError, "description": text} for code, text in _CODES.items()
    }
    made = APIRouter(
        prefix="/admin/v1",
        route_class=StoredRoute,
        tags=["admin"],
        dependencies=[Depends(_actor)],
        responses=codes,
    )
    _users(made, store)
    _plans(made, store)
    _keys(made, store, issue)
    _usage(made, store)
    _history(made, store)

    @made.get("/audit", summary="Who changed what, the newest first")
    async def audit(limit: Limit = 100, before: int | None = None) -> list[Entry]:
        """before: the number of an entry; those older than it."""
        return list(await store.audit.entries(limit, before))

    return made


def _users(made: APIRouter, store: Store) -> None:
    @made.get("/users", summary="Users by their names")
    async def users(limit: Limit = 100, after: After = "") -> list[User]:
        return list(await store.people.users(limit, after))

    @made.post("/users", summary="Add a user", status_code=201)
    async def add_user(new: NewUser, by: Actor) -> User:
        return await store.people.add_user(new.name, new.plan, by)

    @made.get("/users/{name}", summary="One user")
    async def user(name: UserName) -> User:
        return await store.people.user(name)

    @made.patch("/users/{name}", summary="Give a user another plan")
    async def give_plan(name: UserName, new: NewPlan, by: Actor) -> User:
        return await store.people.give_plan(name, new.plan, by)

    @made.delete("/users/{name}", summary="Remove a user and its keys", status_code=204)
    async def remove_user(name: UserName, by: Actor) -> None:
        await store.people.remove_user(name, by)

    @made.delete(
        "/users/{name}/history",
        summary="Forget what a user asked: requests and conversations",
        status_code=204,
    )
    async def forget(name: UserName, by: Actor) -> None:
        """Also of one whom an identity provider knows. What was used stays."""
        await store.forget(name, by)


def _history(made: APIRouter, store: Store) -> None:
    @made.get("/history", summary="Requests, the newest first")
    async def requests(asked: Annotated[AskedHistory, Query()]) -> list[KeptRequest]:
        return list(await store.history.requests(**asked.as_asked()))

    @made.get("/history/{number}", summary="One request, with its bodies if they are kept")
    async def request(number: RequestNumber) -> WholeRequest:
        return await store.history.request(number)


def _plans(made: APIRouter, store: Store) -> None:
    @made.get("/plans", summary="Plans by their names, the configuration's too")
    async def plans() -> list[KnownPlan]:
        return list(await store.people.plans())

    @made.get("/plans/{name}", summary="One plan")
    async def plan(name: PlanName) -> KnownPlan:
        return await store.people.plan(name)

    @made.put("/plans/{name}", summary="Make a plan, or make it this one")
    async def put_plan(name: PlanName, new: Plan, by: Actor) -> KnownPlan:
        if new.name != name:
            message = f"name: is {new.name}, and in the address {name}; write the same in both"
            raise RefusedError(400, "invalid_request_error", message, param="name")
        await store.people.put_plan(new, by)
        return KnownPlan(plan=new, configured=False)

    @made.delete("/plans/{name}", summary="Remove a plan that nobody has", status_code=204)
    async def remove_plan(name: PlanName, by: Actor) -> None:
        await store.people.remove_plan(name, by)


def _usage(made: APIRouter, store: Store) -> None:
    @made.get("/usage", summary="What was used, and what it cost")
    async def usage(asked: Annotated[AskedUsage, Query()]) -> list[Used]:
        return list(await store.usage.used(**asked.as_asked()))

    @made.get("/months", summary="What users used in a calendar month, as their quotas count it")
    async def months(
        limit: Limit = 100,
        after: After = "",
        month: MonthName | None = None,
        user: UserName | None = None,
    ) -> list[Month]:
        return list(await store.usage.months(limit, month or this_month(), after, user))

    @made.get("/metrics", summary="What users used this month and the last, for Prometheus")
    async def scraped() -> Response:
        return Response(await metrics(store.usage), media_type=CONTENT_TYPE)


def _keys(made: APIRouter, store: Store, issue: Issue) -> None:
    @made.get("/keys", summary="Keys by their prefixes, revoked ones too")
    async def keys(
        limit: Limit = 100, after: After = "", user: UserName | None = None
    ) -> list[Key]:
        return list(await store.keys.keys(limit, after, user))

    @made.post("/keys", summary="Make a key, and show it this once", status_code=201)
    async def make_key(new: NewKey, by: Actor) -> MadeKey:
        return await issue.make(new, by)

    @made.get("/keys/{prefix}", summary="One key")
    async def key(prefix: str) -> Key:
        return await store.keys.key(prefix)

    @made.delete("/keys/{prefix}", summary="Revoke a key")
    async def revoke_key(prefix: str, by: Actor) -> Key:
        return await store.keys.revoke(prefix, by)
