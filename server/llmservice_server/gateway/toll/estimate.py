"""What a request may cost, from its body alone, before the engine has seen it; pure.

A prompt is estimated: four bytes of text are a token, a picture, film or sound in the body is a
thousand, and a number in a list of numbers is one, as it is where a prompt is given as tokens. What
the answer may take is what the request names, for each of its answers; a value that the engine
would refuse counts as none.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs

from pydantic import TypeAdapter, ValidationError

from llmservice_server.gateway.streaming import asks_for_stream

_BYTES = 4  # of English and of most code; what is written in fewer tokens is given back
_MEDIUM = 1000  # tokens
_MEDIA_FIELDS = frozenset({"data", "file_data", "b64_json"})
_OWN_DEFAULT = 256  # of the routes beside OpenAI's, where a request names none
_CHAT = ("max_tokens", "max_completion_tokens")  # the first is the one that more servers know
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "/v1/chat/completions": _CHAT,
    "/v1/completions": ("max_tokens",),
    "/v1/responses": ("max_output_tokens",),
    "/v1/messages": ("max_tokens",),
    "/inference": ("max_tokens",),
    "/stream": ("max_tokens",),
    "/api/v1/infer": ("max_tokens",),
    "/api/chat": ("max_tokens",),
    "/predict": ("max_length",),
    "/predict/batch": ("max_length",),
}
_OWN = frozenset({"/inference", "/stream", "/api/v1/infer", "/predict", "/predict/batch"})
_READING = frozenset(
    {
        *("/v1/embeddings", "/v1/rerank", "/v2/rerank", "/rerank", "/v1/score", "/score"),
        *("/pooling", "/classify", "/v1/moderations", "/tokenize", "/detokenize"),
        *("/v1/messages/count_tokens", "/v1/images/generations", "/v1/audio/speech"),
    }
)
_whole: TypeAdapter[int] = TypeAdapter(int)  # as lax as the engine is


class Ask(NamedTuple):
    """``most``: tokens of one answer, None where the request does not name them; ``field``: where
    it would. ``usual``: what they are then, None where that is the engine's to say. ``answers``:
    how many there are to be, none where something is only read.
    """

    prompt: int
    most: int | None = None
    usual: int | None = None
    answers: int = 0
    field: str = "max_tokens"
    streams: bool = False
    model: str | None = None


def ask_of(path: str, query: bytes, document: Mapping[str, Any] | None) -> Ask | None:
    """What a request to this path asks for; None where its body says nothing, as a form's."""
    path = path.rstrip("/")
    if document is None:
        if path != "/stream":
            return None
        document = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
    model = document.get("model")
    named = model if isinstance(model, str) else None
    streams = asks_for_stream(path, document)
    prompt = tokens(document)
    if path in _READING:
        return Ask(prompt, streams=streams, model=named)
    fields = _fields(path, document)
    mosts = [most for field in fields if (most := _int(document.get(field))) is not None]
    usual = _OWN_DEFAULT if path in _OWN else None
    answers = _answers(path, document)
    return Ask(prompt, max(mosts, default=None), usual, answers, fields[0], streams, named)


def tokens(document: object) -> int:
    """Of all texts in it, with the names of their fields."""
    size = counted = 0
    left: list[object] = [document]
    while left:
        value = left.pop()
        if isinstance(value, str):
            if value.startswith("data:"):
                counted += _MEDIUM
            else:
                size += len(value) if value.isascii() else len(value.encode(errors="replace"))
        elif isinstance(value, dict):
            for name, inner in cast("dict[str, object]", value).items():
                size += len(name)
                if name in _MEDIA_FIELDS and isinstance(inner, str):
                    counted += _MEDIUM
                elif inner.__class__ in _LOOKED_INTO:
                    left.append(inner)
        elif isinstance(value, list) and value:
            inside = cast("list[object]", value)
            if isinstance(inside[0], int | float):
                counted += len(inside)
            else:
                left.extend(inside)
    return counted + -(-size // _BYTES)


_LOOKED_INTO = frozenset({str, dict, list})


def _fields(path: str, document: Mapping[str, Any]) -> tuple[str, ...]:
    if path == "/invocations":  # which stands for the routes that a body could be meant for
        path = "/v1/chat/completions" if "messages" in document else "/v1/completions"
    return _FIELDS.get(path, _CHAT)


def _answers(path: str, document: Mapping[str, Any]) -> int:
    prompts: object = document.get("prompts") if path == "/predict/batch" else None
    if path in {"/v1/completions", "/invocations"}:
        prompts = document.get("prompt")
    number = 1
    if isinstance(prompts, list) and prompts:
        given = cast("list[object]", prompts)
        number = 1 if isinstance(given[0], int) else len(given)
    if path in _OWN:
        return number
    return number * max(_int(document.get("n")) or 1, _int(document.get("best_of")) or 1)


def _int(value: object) -> int | None:
    if value.__class__ is int:
        return max(cast("int", value), 0)
    if value is None:
        return None
    try:
        return max(_whole.validate_python(value), 0)
    except ValidationError:
        return None
