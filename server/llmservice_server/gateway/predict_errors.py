"""The errors of /predict and /predict/batch have a shape of their own, whoever refuses.

Every other route has OpenAI's; `error_shapes` has both. What there is no name for among these
routes' errors, such as a body of a wrong type, is a validation_error and 400. Answers that are no
errors, and all other paths, pass untouched; an error of these paths is small and is translated once
it is whole.
"""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any, cast

from llmservice_server import loading
from llmservice_server.error_shapes import PREDICTIONS, prediction_error
from llmservice_server.gateway.asgi import App, Message, Receive, Scope, Send, answer_json, header
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.request_id import HEADER

# By the status that was answered: the one to answer, and its name.
_KINDS = {
    401: (401, "unauthorized"),
    403: (403, "forbidden"),
    404: (404, "not_found"),
    405: (405, "method_not_allowed"),
    408: (408, "request_timeout"),
    413: (413, "payload_too_large"),
    429: (429, "rate_limited"),
    499: (499, "client_closed_request"),  # nobody reads it
    502: (503, "service_unavailable"),
    503: (503, "service_unavailable"),
    504: (503, "service_unavailable"),
}
# By the type of error: what the gateway alone says.
_OURS = {
    "idempotency_key_in_use": (409, "idempotency_key_in_use"),
    "idempotency_key_reused": (422, "idempotency_key_reused"),
}
_WRONG, _BROKEN = (400, "validation_error"), (500, "internal_server_error")
_ABOUT_THE_BODY = frozenset({b"content-type", b"content-length"})
_RETRY_AFTER = (b"retry-after", b"1")
_FAILED = {"error": {"message": "The server failed at this request; its log says why."}}

_log = logging.getLogger("llmservice.predict_errors")


class PredictErrors:
    def __init__(self, app: App, context: Context) -> None:
        self._app = app
        self._on = context.config.api.predict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._on or scope["type"] != "http" or scope["path"] not in PREDICTIONS:
            await self._app(scope, receive, send)
            return
        answered = _Answered(send, header(scope, HEADER))
        try:
            await self._app(scope, receive, answered)
        except Exception:
            if answered.begun:
                raise
            _log.exception("%s raised", scope["path"])
            await answer_json(send, *predict_error(500, _FAILED, header(scope, HEADER)))


class _Answered:
    """Sends what is no error on, and keeps an error until it is whole."""

    def __init__(self, send: Send, request_id: str | None) -> None:
        self._send, self._request_id = send, request_id
        self._error: Message | None = None
        self._body = bytearray()
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._error = message
        elif self._error is None:
            self.begun = True
            await self._send(message)
        elif message["type"] == "http.response.body":
            self._body.extend(message.get("body", b""))
            if not message.get("more_body"):
                self.begun = True
                await self._answer(self._error)

    async def _answer(self, error: Message) -> None:
        try:
            document: object = json.loads(self._body)
        except ValueError:
            document = None
        status, body = predict_error(error["status"], document, self._request_id)
        headers = [
            pair for pair in error.get("headers", ()) if pair[0].lower() not in _ABOUT_THE_BODY
        ]
        if status in {429, 503} and not any(name.lower() == b"retry-after" for name, _ in headers):
            headers.append(_RETRY_AFTER)
        await answer_json(self._send, status, body, headers)


def predict_error(
    status: int, said: object, request_id: str | None
) -> tuple[int, dict[str, object]]:
    """The status and body for an error of this status whose body was this document."""
    error = _error(said)
    usual = _KINDS.get(status, _BROKEN if status >= 500 else _WRONG)
    status, kind = _OURS.get(str(error.get("type")), usual)
    message = str(error.get("message") or kind.replace("_", " "))
    now = loading.date(time.time())
    field = error.get("param")
    return status, prediction_error(kind, message, now, field=field, request_id=request_id)


def _error(said: object) -> Mapping[str, Any]:
    """OpenAI's object, vLLM's or FastAPI's one sentence, or nothing."""
    if not isinstance(said, dict):
        return {}
    document = cast("dict[str, Any]", said)
    error = document.get("error", document.get("detail"))
    return cast("dict[str, Any]", error) if isinstance(error, dict) else {"message": error}
