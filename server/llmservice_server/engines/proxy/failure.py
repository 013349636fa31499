"""What went wrong with an upstream, as its client is told: in OpenAI's shape, without secrets.

429 means the client, with when to come back; what only we can mend is a 5xx. What an upstream says
of our key or account stays here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson

from llmservice_server import termination
from llmservice_server.gateway.asgi import Send, answer_json

_RETRY_HEADERS = (b"retry-after", b"retry-after-ms", b"x-should-retry")
_RETRY = re.compile(rb"[0-9]{1,6}(\.[0-9]{1,3})?|[A-Za-z]{3}, [0-9A-Za-z: ]{20,30}|true|false")
_WORD = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]{0,63}")
_ACCOUNT = re.compile(r"\b(org|proj|user|acct)[-_][A-Za-z0-9]{6,}|https?://\S+")
_SHOWN = 1000  # characters of an upstream's message that its client reads
_NAMED = 50  # models that a 404 tells of
_STATUSES = range(400, 600)
_TELLS_OF_KEYS = frozenset({401, 402, 403, 407})


@dataclass(frozen=True)
class Failure:
    """again: another upstream may do better. unwell: it counts against the upstream's health."""

    status: int
    message: str
    kind: str = "upstream_error"
    code: str = "upstream_error"
    param: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    again: bool = True
    unwell: bool = True

    @property
    def retry_after(self) -> float:
        """Seconds; 1 where it is a date or was not said."""
        text = dict(self.headers).get(b"retry-after", b"1").decode()
        return float(text) if text[0].isdigit() else 1.0

    @property
    def error(self) -> dict[str, object]:
        told = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": told}

    def body(self) -> bytes:
        return orjson.dumps(self.error)

    async def answer(self, send: Send) -> None:
        await answer_json(send, self.status, self.error, self.headers)


def unavailable(message: str, seconds: float = 1) -> Failure:
    """Nobody can be asked now; by whom it was tried is in the log."""
    after = (b"retry-after", str(max(1, round(seconds))).encode())
    kind = "service_unavailable"
    return Failure(503, message, kind, kind, headers=(after,))


def broken(message: str) -> Failure:
    return Failure(502, message, code="upstream_broken")


def late(message: str) -> Failure:
    return Failure(504, message, code="upstream_timeout")


def bad_request(
    message: str, *, code: str = "invalid_request", param: str | None = None
) -> Failure:
    kind = "invalid_request_error"
    return Failure(400, message, kind, code, param, again=False, unwell=False)


def no_such_model(name: str, names: list[str]) -> Failure:
    there = ", ".join(f"`{known}`" for known in names[:_NAMED]) or "none"
    if len(names) > _NAMED:
        there += f" and {len(names) - _NAMED} more, see /v1/models"
    message = f"The model `{name[:128]}` does not exist; there is: {there}"
    return Failure(
        404, message, "invalid_request_error", "model_not_found", "model", again=False, unwell=False
    )


def refused(status: int, headers: Mapping[bytes, bytes], body: bytes, key: str | None) -> Failure:
    """What an upstream's answer becomes whose status is no success."""
    if status in _TELLS_OF_KEYS:
        message = "The upstream does not let this server in; its operator has to mend the key."
        return Failure(502, message, code="upstream_unauthorized")
    if status < 400:
        return broken("The upstream answers with a redirect, which is not followed.")
    if status not in _STATUSES:
        return broken("The upstream answers with a status that there is not.")
    told = _told(body)
    message = _masked(told.get("message"), key) or _plain(status)
    kind, code = _word(told.get("type")), _word(told.get("code"))
    param = told.get("param")
    back = [
        (name, value)
        for name in _RETRY_HEADERS
        if (value := headers.get(name)) and _RETRY.fullmatch(value)
    ]
    busy = status in {429, 503}
    if busy and not any(name == b"retry-after" for name, _ in back):
        back.append((b"retry-after", b"1"))
    return Failure(
        status,
        message,
        kind or _kind(status),
        code or _kind(status),
        param if isinstance(param, str) and len(param) <= 128 else None,
        tuple(back),
        again=status in {408, 429} or status >= 500,
        unwell=status >= 500 and status != 501,
    )


def _told(body: bytes) -> dict[str, Any]:
    """The error of OpenAI's shape in it, if there is one; vLLM's older shape is flat."""
    try:
        read: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(read, dict):
        return {}
    answer = cast("dict[str, Any]", read)
    error = answer.get("error", answer)
    if isinstance(error, str):
        return {"message": error}
    return cast("dict[str, Any]", error) if isinstance(error, dict) else {}


def _masked(message: object, key: str | None) -> str:
    if not isinstance(message, str):
        return ""
    text = termination.masked(message, {"KEY": key} if key else {})
    return _ACCOUNT.sub("***", text)[:_SHOWN]


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _kind(status: int) -> str:
    if status == 429:
        return "rate_limit_exceeded"
    return "upstream_error" if status >= 500 else "invalid_request_error"


def _plain(status: int) -> str:
    if status == 429:
        return "The upstream has had enough requests for now; send the request again later."
    return f"The upstream answered with status {status}."
