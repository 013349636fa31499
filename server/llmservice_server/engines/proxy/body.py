"""Which model a request's body asks for, and the same body with another name for it.

Of the body nothing else is read and nothing else is changed.
"""

import json
from collections.abc import Mapping
from typing import Any, cast

import orjson

_scan = json.JSONDecoder().raw_decode
_BLANK = " \t\n\r"


class BodyError(ValueError):
    """Why it cannot be a request, in words for its client."""


def model_of(body: bytes) -> str:
    """The model's name.

    Raises:
        BodyError: the body is no JSON object with a model in it.
    """
    try:
        read: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyError(f"The body is not JSON: {error}") from None
    if not isinstance(read, dict):
        raise BodyError('The body is not a JSON object; write {"model": "NAME", …}')
    return model_in(cast("dict[str, object]", read))


def model_in(document: Mapping[str, object]) -> str:
    """The same of a body that was read already.

    Raises:
        BodyError: there is none.
    """
    name = document.get("model")
    if not isinstance(name, str) or not name:
        raise BodyError('The body names no model; write "model": "NAME"')
    return name


def renamed(body: bytes, name: str) -> bytes:
    """A body that ``model_of`` took, with this model instead: each top-level pair is stepped over.

    Raises:
        BodyError: it is nested too deeply.
    """
    text = body.decode()
    quoted = json.dumps(name)
    at = _after(text, text.index("{") + 1)
    pieces: list[str] = []
    kept = 0
    try:
        while text[at] != "}":
            key, at = _scan(text, at)
            begin = _after(text, _after(text, at) + 1)  # over the colon
            _, at = _scan(text, begin)
            if key == "model":
                pieces += (text[kept:begin], quoted)
                kept = at
            at = _after(text, at)
            if text[at] == ",":
                at = _after(text, at + 1)
    except RecursionError:
        raise BodyError("The body is nested too deeply") from None
    return "".join((*pieces, text[kept:])).encode()


def _after(text: str, at: int) -> int:
    """The next position that is no white space."""
    while text[at] in _BLANK:
        at += 1
    return at
