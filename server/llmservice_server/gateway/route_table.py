"""The routes by which requests are told apart where the number of names must be bounded.

Promises one of these templates, or ``other``, for whatever path a client thinks of. A route that
is missing here is served all the same, and counted as ``other``.
"""

OTHER = "other"
ADMINS = "/admin/v1"
POLLED = frozenset({"/livez", "/readyz", "/health", "/metrics", "/status", "/ping", "/load"})
"""Asked every few seconds by the kubelet, Prometheus and people, which tell when they fail."""

_EXACT = POLLED | {
    "/",
    "/info",
    "/version",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/inference",
    "/stream",
    "/api/v1/infer",
    "/api/v1/model",
    "/api/chat",
    "/api/conversations",
    "/predict",
    "/predict/batch",
    "/v1/models",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/audio/speech",
    "/v1/images/generations",
    "/v1/moderations",
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/v1/score",
    "/score",
    "/pooling",
    "/classify",
    "/tokenize",
    "/detokenize",
    "/invocations",
}
# Each with one id, and perhaps a verb of vLLM's after it.
_BELOW = ("/v1/models", "/v1/responses", "/api/conversations")
_VERBS = frozenset({"cancel"})


def of_admins(path: str) -> bool:
    """Whether it is a route of administration."""
    return path.startswith(f"{ADMINS}/")


def template(path: str) -> str:
    """The route that a path is of."""
    if path in _EXACT:
        return path
    if of_admins(path):
        return ADMINS
    bare = path.rstrip("/")
    if bare in _EXACT:
        return bare
    for above in _BELOW:
        if bare.startswith(f"{above}/"):
            verb = bare.rpartition("/")[2]
            return f"{above}/{{id}}/{verb}" if verb in _VERBS else f"{above}/{{id}}"
    return OTHER
