"""Who asks is found before a byte of a body is read; who may not is refused here.

Each route is public, for whoever has a key, or for admins (`access`). What is found is noted for
the layers below (`caller`), by names and never by secrets. Where the configuration names neither
keys nor tokens nor anonymous callers the layer is not there. Nothing is done per chunk.
"""

from llmservice_server import secret
from llmservice_server.config import ConfigError
from llmservice_server.config.auth import ANONYMOUS
from llmservice_server.gateway.asgi import (
    TRY_AGAIN_LATER,
    App,
    Message,
    Receive,
    Scope,
    Send,
    after_startup,
    answer_error,
)
from llmservice_server.gateway.caller import Caller, note
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.identity.access import Access, Route, access
from llmservice_server.gateway.identity.address import Addresses
from llmservice_server.gateway.identity.callers import Callers
from llmservice_server.gateway.identity.credential import shown
from llmservice_server.gateway.identity.known import Known
from llmservice_server.gateway.identity.refused import Refused, not_allowed, unauthorized
from llmservice_server.gateway.identity.signature import Nonces, OwnNonces, Signatures

_UNAUTHORIZED, _POLICY_VIOLATION = 4401, 1008  # websocket close codes


def identity(app: App, context: Context) -> App:
    """The layer, or the application itself where everybody may ask everything."""
    return Identity(app, context) if context.config.auth.on else app


class Identity:
    def __init__(self, app: App, context: Context) -> None:
        auth = context.config.auth
        pepper = secret.read_line(auth.pepper, "auth.pepper").encode() if auth.pepper else None
        self._app = app
        self._addresses = Addresses(auth.trusted_proxies)
        self._callers = Callers(auth, pepper, context.keys)
        self._anonymous = auth.named[ANONYMOUS] if auth.anonymous else None
        self._signatures: Signatures | None = None
        if auth.signed:
            if pepper is None:
                raise ConfigError("auth.pepper: is missing; write it")
            self._signatures = Signatures(pepper, _nonces(context))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, self._until_stop(receive), after_startup(send, self._start))
            return
        method = scope["method"] if scope["type"] == "http" else "WEBSOCKET"
        route = access(method, scope["path"])
        if route.access is Access.PUBLIC:
            await self._app(scope, receive, send)
            return
        try:
            receive = await self._admitted(route, scope, receive)
            await self._app(scope, receive, send)
        except Refused as refused:
            await _refuse(refused, scope, send)

    async def _admitted(self, route: Route, scope: Scope, receive: Receive) -> Receive:
        """Note who asks; return what its body is read by.

        Raises:
            Refused: it may not.
        """
        address = self._addresses.of(scope)
        credential = shown(scope)
        if credential is None:
            note(scope, self._nobody(route, address))
            return receive
        known = await self._callers.find(credential, address)
        _allow(route, caller := known.caller(address))
        note(scope, caller)
        return await self._signed(known, scope, receive, credential)

    def _nobody(self, route: Route, address: str) -> Caller:
        if self._anonymous is None or route.access is not Access.KEY:
            raise unauthorized("The request shows no key; send it as Authorization: Bearer KEY.")
        return Caller(address, self._anonymous)

    async def _signed(
        self, known: Known, scope: Scope, receive: Receive, credential: bytes
    ) -> Receive:
        # A token is short-lived, and its owner has no secret that is ours.
        if self._signatures is None or not known.lasting:
            return receive
        return await self._signatures.checked(scope, receive, credential.decode("latin-1"))

    def _start(self) -> None:
        self._callers.start()
        if self._signatures:
            self._signatures.start()

    def _until_stop(self, receive: Receive) -> Receive:
        async def receive_and_stop() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._callers.stop()
            return message

        return receive_and_stop


def _nonces(context: Context) -> Nonces:
    redis, down = context.config.redis, context.config.limits.when_redis_is_down
    if redis.url is None:
        return OwnNonces()
    # with what it needs
    from llmservice_server.gateway.answers.patience import Patience  # noqa: PLC0415
    from llmservice_server.gateway.identity.shared_nonces import SharedNonces  # noqa: PLC0415

    alone = OwnNonces() if down == "open" else None
    return SharedNonces(Patience.of(redis.url), redis.prefix, alone)


def _allow(route: Route, caller: Caller) -> None:
    if route.access is Access.ADMIN and not caller.admin:
        raise not_allowed("This route is for admins; the key is not one's.")
    routes = caller.scopes.routes
    if routes is not None and route.name not in routes:
        raise not_allowed("The key is not made for this route.")


async def _refuse(refused: Refused, scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        codes = {401: _UNAUTHORIZED, 503: TRY_AGAIN_LATER}
        code = codes.get(refused.status, _POLICY_VIOLATION)
        await send({"type": "websocket.close", "code": code})
        return
    await answer_error(send, refused.status, refused.kind, refused.message, refused.headers)
