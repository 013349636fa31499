"""What of a request decides its answer, and whether that may come from the cache; pure.

Promises that two requests have one key only where they come from one tenant, go to one model of one
revision by one route, and say the same but for what decides nothing. The order of fields decides
nothing in a body and in its messages; in tools and schemas, which a model reads as they are
written, it does.
"""

import hashlib
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, cast

from llmservice_server.config import Plan, ServerConfig
from llmservice_server.gateway.asgi import Scope
from llmservice_server.gateway.caller import caller_of, tenant_of
from llmservice_server.gateway.sanitize import document_of
from llmservice_server.gateway.streaming import streams

_SEEDED = frozenset({"/v1/chat/completions", "/v1/completions"})  # which read a seed
_GENERATING = _SEEDED | {
    *("/v1/messages", "/inference", "/stream", "/api/v1/infer", "/api/chat", "/predict"),
}
# Of which the same always comes. Not in any of these: /v1/responses, which the engine keeps by
# their ids, /predict/batch, of which a part may fail, and what is sent or answered as files.
_READING = frozenset(
    {
        *("/v1/embeddings", "/v2/embed", "/pooling", "/classify", "/v1/moderations"),
        *("/v1/rerank", "/v2/rerank", "/rerank", "/v1/score", "/score"),
    }
)
# Who among a caller's own users asks, and where the engine may have read it before. How the answer
# is asked for, and the model, are in the key by what they come to.
_DECIDES_NOTHING = frozenset({"user", "safety_identifier", "prompt_cache_key", "stream", "model"})
_DECIDES = frozenset({b"openai-beta", b"anthropic-beta", b"anthropic-version"})
_MESSAGES, _CONVERSATION = "messages", "conversation_id"
_ASKED, _FOUND = "cache_asked", "cache_found"  # in the scope's state
_ANYBODY = Plan(name="anybody")


class Use(Enum):
    FULL = "full"
    REFRESH = "refresh"
    """The engine is asked, and its answer kept."""
    BYPASS = "bypass"


class Asked(NamedTuple):
    use: Use
    key: str = ""


class Asking:
    """``config`` decides every answer of the server, by its model, its engine and its routes."""

    def __init__(self, config: ServerConfig) -> None:
        self._prefix = f"{{{config.redis.prefix}}}:cache:"
        self._server = config.model_dump_json(include={"model", "engine", "api"})

    def of(self, scope: Scope) -> Asked | None:
        """None where the cache is not for this route. Found once a request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return None
        path = scope["path"]
        if path not in _GENERATING and path not in _READING:
            return None
        state = scope.setdefault("state", {})
        if (asked := state.get(_ASKED)) is None:
            asked = state[_ASKED] = self._asked(scope, path)
        return asked

    def _asked(self, scope: Scope, path: str) -> Asked:
        caller, document = caller_of(scope), document_of(scope)
        plan = caller.plan if caller else _ANYBODY
        control, decides = _headers(scope)
        if document is None or plan.cache == "never" or "no-store" in control:
            return Asked(Use.BYPASS)
        if document.get(_CONVERSATION) is not None:  # which goes on with each answer
            return Asked(Use.BYPASS)
        if plan.cache != "always" and not deterministic(path, document):
            return Asked(Use.BYPASS)
        where = [
            tenant_of(scope),
            path,
            scope["query_string"].decode("latin-1"),
            scope["state"].get("model") or document.get("model"),
            streams(scope),
            plan.max_output_tokens,  # which is written into requests that name no bound
            decides,
        ]
        told = f"{self._server}\n{json.dumps(where)}\n{meaning(document)}"
        key = self._prefix + hashlib.sha256(told.encode()).hexdigest()
        return Asked(Use.REFRESH if "no-cache" in control else Use.FULL, key)


def deterministic(path: str, document: Mapping[str, Any]) -> bool:
    """Whether asking again would bring the same."""
    if path in _READING:
        return True
    temperature = document.get("temperature")
    if temperature.__class__ in {int, float} and temperature == 0:
        return True
    return path in _SEEDED and document.get("seed").__class__ is int


def meaning(document: Mapping[str, Any]) -> str:
    """The same for bodies that say the same, in one line."""
    told = [
        (name, _plain(value))
        for name, value in sorted(document.items())
        if name not in _DECIDES_NOTHING and name != _MESSAGES
    ]
    messages = json.dumps(document.get(_MESSAGES), sort_keys=True)
    return f"{json.dumps(told)} {messages}"


def note_found(scope: Scope, found: bytes | None) -> None:
    """Note what the key has in Redis, where somebody has looked."""
    scope["state"][_FOUND] = found


def looked_up(scope: Scope) -> tuple[bool, bytes | None]:
    """Whether somebody has looked, and what there was."""
    state = scope["state"]
    return _FOUND in state, cast("bytes | None", state.get(_FOUND))


def _plain(value: object) -> object:
    """A number is the same with a point and without it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _headers(scope: Scope) -> tuple[set[str], list[str]]:
    """What is said of caches, and what else says something about the answer."""
    control, decides = set[str](), list[str]()
    for name, value in scope["headers"]:
        if name == b"cache-control":
            control |= {word.strip().lower() for word in value.decode("latin-1").split(",")}
        elif name in _DECIDES:
            decides.append(f"{name.decode()}: {value.decode('latin-1')}")
    return control, sorted(decides)
