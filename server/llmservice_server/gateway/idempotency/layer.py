"""A POST with an Idempotency-Key runs once: who sends it again gets the answer that there was.

Promises that of those who come by one caller's key at the same time one runs, and the others are
told so; that what was answered with success is given again for as long as is configured, to the
same request only; that what failed, was refused, or whose client left may be sent again and runs.
Streams take no part in it, nor does what costs the engine nothing. Where it is not configured the
layer is not there.
"""

from llmservice_server.config import IdempotencyConfig
from llmservice_server.gateway.admission import costs
from llmservice_server.gateway.answers.given import By, note_given
from llmservice_server.gateway.answers.recorded import Recorded, give
from llmservice_server.gateway.answers.recording import Recording, Recordings
from llmservice_server.gateway.asgi import (
    App,
    Message,
    Receive,
    Scope,
    Send,
    after_startup,
    again,
    answer_error,
    before_stop,
)
from llmservice_server.gateway.caller import tenant_of
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.idempotency.claims import (
    Claim,
    Claims,
    Held,
    UnavailableError,
    claim_of,
)
from llmservice_server.gateway.idempotency.own import OwnClaims
from llmservice_server.gateway.streaming import streams

_KEY = b"idempotency-key"
_LONGEST = 255  # bytes of a key
_REPLAYED = (b"idempotent-replayed", b"true")
_RETRY_AFTER = (b"retry-after", b"1")


def idempotency(app: App, context: Context) -> App:
    """The layer where it is configured, else the application itself.

    Raises:
        ConfigError: Redis' address is not there or none.
    """
    config = context.config.idempotency
    return app if config is None else Idempotency(app, config, _claims(context, config))


def _claims(context: Context, config: IdempotencyConfig) -> Claims:
    redis, own = context.config.redis, OwnClaims(config)
    if redis.url is None:
        return own
    # with what it needs
    from llmservice_server.gateway.answers.patience import Patience  # noqa: PLC0415
    from llmservice_server.gateway.idempotency.shared import SharedClaims  # noqa: PLC0415

    open_ = context.config.limits.when_redis_is_down == "open"
    patience = Patience.of(redis.url)
    return SharedClaims(patience, redis.prefix, config.ttl_seconds, own, open_=open_)


class Idempotency:
    def __init__(self, app: App, config: IdempotencyConfig, claims: Claims) -> None:
        self._app, self._claims = app, claims
        self._recordings = Recordings(config.max_entry_bytes, config.max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            send = after_startup(send, self._claims.start)
            await self._app(scope, receive, before_stop(send, self._claims.close))
            return
        keys = _keys(scope)
        if not keys:
            await self._app(scope, receive, send)
        elif len(keys) > 1 or not 0 < len(keys[0]) <= _LONGEST:
            message = f"Send one Idempotency-Key, of 1 to {_LONGEST} characters."
            await answer_error(send, 400, "invalid_request_error", message)
        else:
            await self._once(keys[0], scope, receive, send)

    async def _once(self, key: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        body = await receive()  # it comes as one
        claim = claim_of(scope, tenant_of(scope), key, body.get("body", b""))
        receive = again(body, receive)
        try:
            held = await self._claims.claim(claim)
        except UnavailableError:
            message = "It cannot be told now whether this was asked before; send it again later."
            await answer_error(send, 503, "service_unavailable", message, [_RETRY_AFTER])
            return
        if held is None:
            await self._run(claim, _renamed(scope, claim), receive, send)
        else:
            await self._answer(claim, held, scope, send)

    async def _answer(self, claim: Claim, held: Held, scope: Scope, send: Send) -> None:
        """What was answered before, or why not."""
        if held.asked != claim.asked:
            message = "Another request had this Idempotency-Key; send this one with a new key."
            await answer_error(send, 422, "idempotency_key_reused", message)
        elif held.answer is None:
            message = "The request with this Idempotency-Key still runs; send it again later."
            await answer_error(send, 409, "idempotency_key_in_use", message, [_RETRY_AFTER])
        else:
            note_given(scope, By.IDEMPOTENCY)
            await give(held.answer, send, [_REPLAYED])

    async def _run(self, claim: Claim, scope: Scope, receive: Receive, send: Send) -> None:
        recording, settled = Recording(self._recordings), False

        async def send_and_settle(message: Message) -> None:
            nonlocal settled
            recording.hear(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                # Before its last byte is sent: who has it and asks again is answered by it.
                await self._settle(claim, recording)
                settled = True
            await send(message)

        try:
            await self._app(scope, recording.listening(receive), send_and_settle)
        finally:
            recording.end()
            if not settled:
                await self._claims.release(claim)

    async def _settle(self, claim: Claim, recording: Recording) -> None:
        answer = recording.answer
        if answer and not recording.left and _succeeded(answer):
            await self._claims.keep(claim, answer)
        else:
            await self._claims.release(claim)


def _keys(scope: Scope) -> list[bytes]:
    """Of a request that takes part in it."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return []
    keys = [value for name, value in scope["headers"] if name == _KEY]
    return keys if keys and costs("POST", scope["path"]) and not streams(scope) else []


def _succeeded(answer: Recorded) -> bool:
    return 200 <= answer.status < 300 and not answer.streams


def _renamed(scope: Scope, claim: Claim) -> Scope:
    """With a key that is this caller's alone, for whoever is asked by us."""
    others = [pair for pair in scope["headers"] if pair[0] != _KEY]
    return {**scope, "headers": [*others, (_KEY, claim.name.encode())]}
