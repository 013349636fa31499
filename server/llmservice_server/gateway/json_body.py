"""Whether a body is JSON that any engine can take; pure.

Promises that what passes is UTF-8, is nested no deeper than the parser's limit of 200, names no NaN
and no Infinity, and has no number that 64 bits cannot hold: the things over which the parsers and
validators behind disagree, fail, or answer 500. Nor does it have so many values that to read them
would hold up everybody and take many times the body's size. A kilobyte costs two microseconds.
"""

import json
import re

from pydantic_core import from_json

MOST_VALUES = 1_000_000  # more than the tokens of any batch of embeddings
MOST_CONTAINERS = 50_000  # lists and objects; a conversation has some for each message and tool
# Also one without an end, so that no byte is looked at twice.
_STRING = re.compile(rb'"[^"\\]*(?:\\.?[^"\\]*)*(?:"|\Z)', re.DOTALL)
_INTEGERS = range(-(2**63), 2**64)
# A number beyond 64 bits has many digits or a large exponent. A copy of the body in which each
# digit is a zero shows either at once; what only looks like one, in a text, is parsed exactly.
_SHAPES = bytes.maketrans(b"123456789E", b"000000000e")
_DIGITS, _EXPONENT, _SIGNED = b"0" * 19, b"e000", b"e+000"


def parsed(body: bytes) -> object:
    """What the body says.

    Raises:
        ValueError: it is no such JSON; the text says why and where, and repeats nothing of it.
    """
    if _many(body) and _many(_STRING.sub(b"", body)):
        most = f"{MOST_VALUES} values or {MOST_CONTAINERS} lists and objects"
        raise ValueError(f"it has more than {most}")
    document = _read(body)
    shape = body.translate(_SHAPES)
    if _DIGITS in shape or _EXPONENT in shape or _SIGNED in shape:
        _EXACT.decode(body.decode())
    return document


def _read(body: bytes) -> object:
    try:
        return from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        from_json(body, cache_strings="keys")
        raise ValueError("it has NaN or Infinity, which JSON has not; write null") from None


def _many(body: bytes) -> bool:
    """At most: texts count as if they were none."""
    containers = body.count(b"[") + body.count(b"{")
    return containers > MOST_CONTAINERS or containers + body.count(b",") > MOST_VALUES


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= 20 else _INTEGERS.stop
    if number not in _INTEGERS:
        raise ValueError("a number needs more than 64 bits")
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if abs(number) == float("inf"):
        raise ValueError("a number needs more than 64 bits")
    return number


_EXACT = json.JSONDecoder(parse_int=_integer, parse_float=_float)
