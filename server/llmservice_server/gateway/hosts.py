"""Under which names the server answers, and which pages' scripts may call it from a browser.

Promises that a request for another name reaches nothing, where names are configured, and that a
browser lets no page read an answer unless its origin is configured. Probes are answered outside of
this layer, and metrics are scraped by address, so both need no name.
"""

from llmservice_server.gateway.asgi import App, Message, Receive, Scope, Send, answer_error, header
from llmservice_server.gateway.context import Context

_SCRAPED = frozenset({"/metrics", "/metrics/"})
_POLICY_VIOLATION = 1008  # websocket close code
_METHODS = (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE")
_MAX_AGE = (b"access-control-max-age", b"600")  # seconds; the answer may change with a rollout
# Beside those that a browser shows a page anyway.
_SHOWN = (
    *(b"x-request-id", b"retry-after", b"x-should-retry", b"www-authenticate"),
    *(b"cache-status", b"age", b"idempotent-replayed"),
    *(b"x-ratelimit-%b-requests" % what for what in (b"limit", b"remaining", b"reset")),
    *(b"x-ratelimit-%b-tokens" % what for what in (b"limit", b"remaining", b"reset")),
)
_EXPOSED = (b"access-control-expose-headers", b", ".join(_SHOWN))
_VARY = (b"vary", b"Origin")


class Hosts:
    def __init__(self, app: App, context: Context) -> None:
        self._app = app
        http = context.config.http
        self._names = frozenset(name.lower() for name in http.trusted_hosts if name[0] != "*")
        self._domains = tuple(name[1:].lower() for name in http.trusted_hosts if name[0] == "*")
        self._any_host = not http.trusted_hosts
        self._origins = frozenset(origin.lower() for origin in http.cors.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if not (self._any_host or scope["path"] in _SCRAPED or self._trusts(scope)):
            message = "This server does not answer to that host; see gateway.trustedHosts."
            await _refuse(scope, send, 400, "untrusted_host", message)
            return
        origin = header(scope, b"origin")
        if origin is None:
            await self._app(scope, receive, send)
            return
        allowed = "*" in self._origins or origin.lower() in self._origins
        if scope["type"] == "websocket":
            # A browser asks nobody before it opens one.
            if allowed or _same(origin, scope):
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        elif scope["method"] == "OPTIONS" and header(scope, b"access-control-request-method"):
            await _answer_preflight(scope, send, origin, allowed=allowed)
        else:
            await self._app(scope, receive, _allowing(send, origin) if allowed else send)

    def _trusts(self, scope: Scope) -> bool:
        name = _name(header(scope, b"host") or "")
        return name in self._names or name.endswith(self._domains)


def _name(host: str) -> str:
    """A host without its port, as it is compared."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def _same(origin: str, scope: Scope) -> bool:
    return origin.partition("://")[2].lower() == (header(scope, b"host") or "").lower()


def _allowing(send: Send, origin: str) -> Send:
    fields = [(b"access-control-allow-origin", origin.encode("latin-1")), _EXPOSED, _VARY]

    async def send_allowing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *fields]
        await send(message)

    return send_allowing


async def _answer_preflight(scope: Scope, send: Send, origin: str, *, allowed: bool) -> None:
    if not allowed:
        message = "Pages of that origin may not call this server; see gateway.cors.origins."
        await _refuse(scope, send, 403, "origin_not_allowed", message)
        return
    asked = header(scope, b"access-control-request-headers") or ""
    await send(
        {
            "type": "http.response.start",
            "status": 204,
            "headers": [
                (b"access-control-allow-origin", origin.encode("latin-1")),
                (b"access-control-allow-headers", asked.encode("latin-1")),
                _METHODS,
                _MAX_AGE,
                _VARY,
            ],
        }
    )
    await send({"type": "http.response.body", "body": b""})


async def _refuse(scope: Scope, send: Send, status: int, kind: str, message: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        return
    await answer_error(send, status, kind, message)
