"""Which models the engine serves, in its own words."""

import json
from typing import Any

from fastapi import Request

from llmservice_server.api.caller import passed_on
from llmservice_server.api.errors import RefusedError, refused, unreadable
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.in_process import Call


async def default_model(context: Context, request: Request) -> str:
    """The one that a request means which names none: the configured one, else the first.

    Raises:
        RefusedError: there is none.
    """
    if named := context.config.served_name:
        return named
    for model in await models(context, request):
        return str(model["id"])
    raise RefusedError(503, "service_unavailable", "No upstream has told its models yet.")


async def models(context: Context, request: Request) -> list[dict[str, Any]]:
    """What the engine serves, as its /v1/models says.

    Raises:
        RefusedError: in the engine's words.
    """
    answer = await context.below.ask(Call("GET", "/v1/models", headers=passed_on(request)))
    if answer.status != 200:
        raise refused(answer)
    try:
        return [model for model in json.loads(answer.body)["data"] if "id" in model]
    except (ValueError, LookupError, TypeError):
        raise unreadable("list of models") from None


def context_length(model: dict[str, Any]) -> int | None:
    """Of a model as the engine describes it."""
    told = model.get("max_model_len")
    return told if isinstance(told, int) else None
