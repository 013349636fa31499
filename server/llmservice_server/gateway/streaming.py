"""Whether a request asks for its answer as a stream; pure."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from llmservice_server.gateway.asgi import Scope, header
from llmservice_server.gateway.sanitize import document_of

_EVENTS = "text/event-stream"
_BY_HEADER = frozenset({"/api/chat"})  # which may be asked by what is accepted, too
_flag: TypeAdapter[bool] = TypeAdapter(bool)  # as lax as the engine is


def asks_for_stream(path: str, document: Mapping[str, Any] | None) -> bool:
    """By its route, or by its body."""
    return path == "/stream" or _true((document or {}).get("stream"))


def streams(scope: Scope) -> bool:
    """By all that it says."""
    path = scope["path"].rstrip("/")
    if asks_for_stream(path, document_of(scope)):
        return True
    return path in _BY_HEADER and _EVENTS in (header(scope, b"accept") or "")


def _true(value: object) -> bool:
    if value is None or value.__class__ is bool:
        return bool(value)
    try:
        return _flag.validate_python(value)
    except ValidationError:
        return False
