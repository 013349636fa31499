"""How many tokens a request took, from what the engine says of it and never from its chunks.

What says so is, first found first believed: ``scope["state"]["usage"]``, where a route of ours or
an engine puts it; vLLM's own account, which it keeps of every request in ``request_metadata``,
asked for or not; the ``usage`` object of a JSON answer or of a stream's last events. Nothing is
added to a request or taken from its answer to learn it.
"""

import json
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, NamedTuple, cast

from llmservice_server.gateway.asgi import Scope

_KEY = b'"usage":'  # a text of the model's cannot hold it: its quotation marks are escaped
_TRIES = 4  # objects that are looked into; a stream says null in all but one
_MOST = 2**40  # tokens of one request
_NUMBERS = 4096  # bytes; a usage object is shorter
_decoder = json.JSONDecoder()


class Usage(NamedTuple):
    input_tokens: int
    output_tokens: int


def count(scope: Scope, usage: Usage) -> None:
    """Note what a request took, in addition to what was noted of it before."""
    state = cast("MutableMapping[str, Any]", scope.setdefault("state", {}))
    before = cast("Usage", state.get("usage", Usage(0, 0)))
    state["usage"] = Usage(*(a + _sane(b) for a, b in zip(before, usage, strict=True)))


def usage_of(state: Mapping[str, Any], body: Iterable[bytes]) -> Usage | None:
    """Of a request whose answer ends with this body; None where nobody said."""
    if isinstance(noted := state.get("usage"), Usage):
        return noted
    account = getattr(state.get("request_metadata"), "final_usage_info", None)
    if account is not None:
        written = getattr(account, "completion_tokens", None)
        return _usage(getattr(account, "prompt_tokens", None), written)
    return _from_body(b"".join(body))


def _from_body(body: bytes) -> Usage | None:
    end = len(body)
    for _ in range(_TRIES):
        end = body.rfind(_KEY, 0, end)
        if end < 0:
            return None
        start = end + len(_KEY)
        text = body[start : start + _NUMBERS].decode("utf-8", "replace").lstrip()
        try:
            said: Any = _decoder.raw_decode(text)[0]
        except (ValueError, RecursionError):
            continue
        if isinstance(said, dict):
            told = cast("dict[str, Any]", said)
            return _usage(
                told.get("prompt_tokens", told.get("input_tokens")),
                told.get("completion_tokens", told.get("output_tokens")),
            )
    return None


def _usage(read: object, written: object) -> Usage | None:
    """Of an embedding nothing is written."""
    if not isinstance(read, int) or not isinstance(written, int | None):
        return None
    return Usage(_sane(read), _sane(written or 0))


def _sane(tokens: int) -> int:
    """A number that a counter can be raised by, whatever an upstream says."""
    return min(max(tokens, 0), _MOST)
