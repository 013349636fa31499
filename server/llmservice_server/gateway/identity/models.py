"""Whether who asks may name the model that it names; adapters are models by another name.

A layer of its own, below the one that has read the body. Promises, of a caller whose plan or key
allows some models only: every name that the engine could read in the request is among them, be it
in JSON, a form, the query or a header that stands for it; where none is named the first model is
meant; what has no such place is refused. Costs other callers nothing.
"""

from urllib.parse import parse_qs

from llmservice_server.gateway.asgi import (
    App,
    Receive,
    Scope,
    Send,
    again,
    answer_error,
    header,
)
from llmservice_server.gateway.caller import Caller, caller_of
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.form import fields_of
from llmservice_server.gateway.sanitize import document_of

_POLICY_VIOLATION = 1008  # websocket close code
_IN_THE_QUERY = frozenset({"/stream"})  # of a GET; others name no model, or list them
_ADAPTER = b"x-amzn-sagemaker-adapter-identifier"  # vLLM's /invocations puts it into the body
_FORM = "multipart/form-data"


class Models:
    def __init__(self, app: App, context: Context) -> None:
        self._app = app
        self._usual = context.config.served_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope) if scope["type"] in {"http", "websocket"} else None
        if caller is None or (caller.plan.models is None and caller.scopes.models is None):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":  # whose model is named after it was accepted
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        names: list[object] = []
        if scope["method"] == "POST":
            names, receive = await _named(scope, receive)
            names = names or [self._usual]
        elif scope["path"] in _IN_THE_QUERY:
            names = [*_queried(scope)] or [self._usual]
        if all(_may(caller, name) for name in names):
            await self._app(scope, receive, send)
        else:
            message = "The key is not made for that model, or its plan has it not."
            await answer_error(send, 403, "permission_error", message)


def _may(caller: Caller, name: object) -> bool:
    of_plan, of_key = caller.plan.models, caller.scopes.models
    return (
        isinstance(name, str)
        and (of_plan is None or name in of_plan)
        and (of_key is None or name in of_key)
    )


def _queried(scope: Scope) -> list[str]:
    return parse_qs(scope["query_string"].decode("latin-1")).get("model", [])


async def _named(scope: Scope, receive: Receive) -> tuple[list[object], Receive]:
    """Each name, with what gives the body once more."""
    names: list[object] = [*_queried(scope)]
    if (adapter := header(scope, _ADAPTER)) is not None:
        names.append(adapter)
    if (header(scope, b"content-type") or "").lower().startswith(_FORM):
        body = await receive()
        fields = await fields_of(scope, body["body"])
        return [*names, *(value for name, value in fields if name == "model")], again(body, receive)
    model = (document_of(scope) or {}).get("model")
    return [*names, *([model] if model is not None else [])], receive
