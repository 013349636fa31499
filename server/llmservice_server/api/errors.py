"""What is answered to a request that fails here: OpenAI's error, with a sentence that says why.

Promises that a wrong request is 400, never 422 or 500, and that its own text is not repeated; that
what the engine refused keeps the engine's status, words and Retry-After. That /predict's errors
have a shape of their own is the gateway's business.
"""

import json
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, cast

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from llmservice_server.error_shapes import openai_error
from llmservice_server.gateway.in_process import Answer

_SHOWN = 2000  # characters of an engine's words
_MAX_FAULTS = 5  # faults named in one sentence; the rest is counted
_RETRY_AFTER = "1"
_UNROUTED = {404: "not_found", 405: "method_not_allowed"}
_CLOSED = 499  # nginx's status of a client that left; nobody reads it
_READS = "solve_dependencies"  # FastAPI's, around the models of a request
_FAILED = "The server failed at this request; its log says why."
MISREAD = (AttributeError, LookupError)
"""What an engine's models raise and its own handlers take for a fault of the server."""


class OpenAIErrorBody(BaseModel):
    message: str
    type: str
    param: str | None = None
    code: str | int | None = None


class OpenAIError(BaseModel):
    """The shape of OpenAI's errors."""

    error: OpenAIErrorBody


class RefusedError(Exception):
    """The request is answered with this error."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.param = status, kind, message, param
        self.retry_after = retry_after or (_RETRY_AFTER if status in {429, 503} else None)

    def body(self) -> dict[str, Any]:
        return openai_error(self.kind, self.message, self.param)

    def response(self) -> Response:
        headers = {"retry-after": self.retry_after} if self.retry_after else None
        # Escaped: what the engine said may hold halves of characters that UTF-8 has not.
        content = json.dumps(self.body(), separators=(",", ":"))
        return Response(content, self.status, headers, "application/json")


class GoneError(Exception):
    """The client left; nobody waits for an answer."""


def unreadable(what: str) -> RefusedError:
    """The engine answered, but not what it was asked for."""
    return RefusedError(502, "engine_error", f"The engine's answer is no {what}.")


def refused(answer: Answer) -> RefusedError:
    """What the engine refused, in its words."""
    if answer.status < 400:
        return unreadable("answer to this")
    said = _said(answer.body)
    kind = said.get("type") or said.get("code")
    message = said.get("message") or f"The engine answered {answer.status}."
    retry_after = next((v for k, v in answer.headers if k.lower() == b"retry-after"), b"")
    return RefusedError(
        answer.status,
        str(kind) if kind else "engine_error",
        str(message)[:_SHOWN],
        param=str(said["param"]) if said.get("param") else None,
        retry_after=retry_after.decode("latin-1") or None,
    )


def _said(body: bytes) -> Mapping[str, Any]:
    """The error's fields: of OpenAI's shape, of vLLM's ``{"error": text}``, of FastAPI's."""
    try:
        document: Any = json.loads(body)
    except ValueError:
        return {}
    if not isinstance(document, dict):
        return {}
    told = cast("dict[str, Any]", document)
    error = told.get("error", told.get("detail"))
    return cast("dict[str, Any]", error) if isinstance(error, dict) else {"message": error}


async def no_route(_: Request, error: Exception) -> Response:
    """What the application's router refuses, in OpenAI's shape; as FastAPI calls its handlers."""
    if not isinstance(error, HTTPException):
        raise error
    told = {
        "message": str(error.detail),
        "type": "invalid_request_error",
        "param": None,
        "code": _UNROUTED.get(error.status_code, "invalid_request"),
    }
    return JSONResponse({"error": told}, error.status_code, error.headers)


async def misread(_: Request, error: Exception) -> Response:
    """What a model's own code raised over a field that it did not expect, as vLLM's does.

    Raises:
        Exception: the same, where it was not raised while a request was read.
    """
    frames = traceback.walk_tb(error.__traceback__)
    if all(frame.f_code.co_name != _READS for frame, _ in frames):
        raise error
    return _wrong("a field of the body is of a type that it cannot be", None)


async def failed(_: Request, __: Exception) -> Response:
    """What nobody expected; whoever calls this raises it then, for the server's log."""
    return RefusedError(500, "internal_server_error", _FAILED).response()


class Route(APIRoute):
    """A route whose faults are answered here, whatever the application does with its others'."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_or_refuse(request: Request) -> Response:
            try:
                return await answer(request)
            except RefusedError as error:
                return error.response()
            except GoneError:
                return Response(status_code=_CLOSED)
            except RequestValidationError as error:
                faults = error.errors()
                message = "; ".join(_fault(fault) for fault in faults[:_MAX_FAULTS])
                if len(faults) > _MAX_FAULTS:
                    message += f"; and {len(faults) - _MAX_FAULTS} more"
                param = _field(faults[0]["loc"]) or None if faults else None
                return _wrong(message, param)
            except HTTPException as error:
                if error.status_code == 400:
                    return _wrong("the body cannot be read; send a JSON object", None)
                kind = "invalid_request_error"
                return RefusedError(error.status_code, kind, str(error.detail)).response()

        return answer_or_refuse


def _wrong(message: str, param: str | None) -> Response:
    return RefusedError(400, "invalid_request_error", message, param=param).response()


def _fault(fault: Mapping[str, Any]) -> str:
    field, kind, message = _field(fault["loc"]), fault["type"], str(fault["msg"])
    if kind == "json_invalid":
        return f"the body is not JSON: {fault['ctx']['error']} at character {fault['loc'][-1]}"
    if not field:
        return "the body is no JSON object; send one, with content-type: application/json"
    if kind == "missing":
        return f"{field}: is missing; send it"
    message = message.removeprefix("Value error, ")
    return f"{field}: {message[0].lower()}{message[1:]}"


def _field(place: Sequence[str | int]) -> str:
    """Names of our fields and numbers of items: what the client wrote is no part of it."""
    return ".".join(str(part) for part in place[1:])
