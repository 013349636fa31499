"""Who may ask which route: everybody, whoever has a key, or an admin. Pure.

What the table does not name is closed to all but admins: a route that a new release of an engine
brings is closed before anybody knows it. Matching is by method and path as the engine would see
them; what is spelled in another way is not in the table.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple


class Access(Enum):
    PUBLIC = "public"
    KEY = "key"
    ADMIN = "admin"


class Route(NamedTuple):
    """``name`` is what a key's scopes name it by; None of a route that nobody knows."""

    access: Access
    name: str | None


# Asked by the kubelet, Prometheus and browsers, which show no key; none tells of a client.
_PUBLIC = (
    *("GET /livez", "GET /readyz", "GET /health", "GET /status", "GET /metrics", "GET /metrics/"),
    *("GET /ping", "POST /ping"),
    *("GET /docs", "GET /docs/oauth2-redirect", "GET /redoc", "GET /openapi.json"),
)
_KEY = (
    *("GET /", "GET /info", "GET /version", "GET /load", "GET /tokenizer_info"),
    # beside OpenAI's
    *("POST /inference", "GET /stream", "POST /stream", "POST /api/chat"),
    "GET /api/conversations",
    *("POST /api/v1/infer", "GET /api/v1/model", "POST /predict", "POST /predict/batch"),
    # OpenAI's, and what is like them
    *("GET /v1/models", "POST /v1/chat/completions", "POST /v1/completions"),
    *("POST /v1/chat/completions/batch", "POST /v1/responses", "POST /v1/embeddings"),
    *("POST /v1/moderations", "POST /v1/images/generations", "POST /v1/audio/speech"),
    *("POST /v1/audio/transcriptions", "POST /v1/audio/translations", "WEBSOCKET /v1/realtime"),
    *("POST /v1/messages", "POST /v1/messages/count_tokens", "POST /cohere/v2/chat"),
    *("POST /v1/rerank", "POST /v2/rerank", "POST /rerank", "POST /v1/score", "POST /score"),
    *("POST /v2/embed", "POST /pooling", "POST /classify", "POST /generative_scoring"),
    *("POST /tokenize", "POST /detokenize", "POST /invocations", "POST /v1/systemone"),
    *("POST /v1/chat/completions/render", "POST /v1/completions/render"),
    *("POST /v1/messages/render", "POST /v1/responses/render", "POST /cohere/v2/chat/render"),
    *("POST /v1/chat/completions/derender", "POST /v1/completions/derender"),
)
# What changes the engine for all, tells of others, or is for other engines and not for clients.
_ADMIN = (
    *("POST /v1/load_lora_adapter", "POST /v1/unload_lora_adapter", "POST /adapters"),
    *("POST /inference/v1/generate", "POST /inference/v1/abort_requests", "POST /abort_requests"),
    *("POST /sleep", "POST /wake_up", "GET /is_sleeping", "POST /release_kv_cache_memory"),
    *("POST /pause", "POST /resume", "GET /is_paused", "GET /server_info", "POST /collective_rpc"),
    *("POST /reset_prefix_cache", "POST /reset_mm_cache", "POST /reset_encoder_cache"),
    *("POST /start_profile", "POST /stop_profile", "GET /kv_event_sources"),
    *("POST /scale_elastic_ep", "POST /is_scaling_elastic_ep"),
    *("GET /fault_tolerance/status", "POST /fault_tolerance/apply"),
    *("POST /init_weight_transfer_engine", "POST /shutdown_weight_transfer_engine"),
    *("POST /start_weight_update", "POST /start_draft_weight_update", "POST /update_weights"),
    *("POST /finish_weight_update", "POST /update_weight_version", "POST /weight_checker"),
    *("GET /weight_info", "GET /get_world_size"),
)
# Of a model's name, which may have slashes, and of an admin's routes what stands before is enough.
_MODEL = "GET /v1/models/"
_ADMINS = ("/admin/v1/", "/adapters/")


def _rows() -> Mapping[str, Route]:
    tables = ((Access.PUBLIC, _PUBLIC), (Access.KEY, _KEY), (Access.ADMIN, _ADMIN))
    return MappingProxyType(
        {row: Route(access, row.partition(" ")[2]) for access, rows in tables for row in rows}
    )


_ROWS = _rows()
_CLOSED = Route(Access.ADMIN, None)
_A_MODEL = Route(Access.KEY, "/v1/models/{id}")
# Routes with an id in them, which has no slash: what stands before it and after it.
_WITH_ID = (
    ("GET /v1/responses/", "", Route(Access.KEY, "/v1/responses/{id}")),
    ("POST /v1/responses/", "/cancel", Route(Access.KEY, "/v1/responses/{id}/cancel")),
    ("GET /api/conversations/", "", Route(Access.KEY, "/api/conversations/{id}")),
    ("DELETE /api/conversations/", "", Route(Access.KEY, "/api/conversations/{id}")),
)

NAMES: frozenset[str] = frozenset(
    route.name
    for route in (*_ROWS.values(), _A_MODEL, *(route for _, _, route in _WITH_ID))
    if route.name and route.access is Access.KEY
)
"""What a key's scopes may name."""


def access(method: str, path: str) -> Route:
    """Who may ask it; the method of a websocket is WEBSOCKET."""
    asked = f"{method} {path}"
    return _ROWS.get(asked) or _other(asked, path)


def _other(asked: str, path: str) -> Route:
    if asked.startswith("HEAD "):
        return access("GET", path)
    bare = asked.rstrip("/")  # which an engine answers with where to go
    if bare in _ROWS:
        return _ROWS[bare]
    if asked.startswith(_MODEL):
        return _A_MODEL
    for before, after, route in _WITH_ID:
        if bare.startswith(before) and bare.endswith(after):
            id_ = bare[len(before) : len(bare) - len(after)]
            return route if id_ and "/" not in id_ else _CLOSED
    above = next(filter(path.startswith, _ADMINS), None)
    return Route(Access.ADMIN, above) if above else _CLOSED
