"""Limits and quotas: what a request may cost is charged before it runs, what it did cost after it.

Promises that what passes is within every limit at once, or nothing of it is charged; that the
answer and the refusal say what is left; that what was charged is settled once, whatever became of
the request: by what the engine says that it took. Without anybody to limit this layer is not there.
Settling costs the request nothing, and a chunk costs a call.
"""

import asyncio
import json
from dataclasses import dataclass
from functools import partial
from itertools import count

from llmservice_server import secret
from llmservice_server.config import AnonymousRates, Plan, Rates
from llmservice_server.config.redis import address_of
from llmservice_server.gateway.admission import costs
from llmservice_server.gateway.asgi import (
    TRY_AGAIN_LATER,
    App,
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    after_startup,
    answer_error,
    before_stop,
)
from llmservice_server.gateway.cache.asked import Asking, Use, note_found
from llmservice_server.gateway.caller import Caller, caller_of
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.exchange import Exchange, when_ended
from llmservice_server.gateway.identity.access import Access, access
from llmservice_server.gateway.sanitize import document_of, replaced
from llmservice_server.gateway.streaming import streams
from llmservice_server.gateway.toll import answer
from llmservice_server.gateway.toll.billed import Billed
from llmservice_server.gateway.toll.charges import Wanted, beyond, bound, charges, reserved
from llmservice_server.gateway.toll.clock import Clock
from llmservice_server.gateway.toll.counters import (
    Counters,
    Order,
    Seed,
    UnavailableError,
    Verdict,
    What,
)
from llmservice_server.gateway.toll.estimate import Ask, ask_of
from llmservice_server.gateway.toll.ledger import Entry
from llmservice_server.gateway.toll.memory import MemoryCounters
from llmservice_server.gateway.toll.metrics import limited, unsettled
from llmservice_server.gateway.toll.spent import Outcome, spent, usage_of
from llmservice_server.gateway.usage import Usage

_LEDGER_SECONDS = 3.0
_TRIES = 3
_RETRY_AFTER = (b"retry-after", b"2")
_ANYBODY = Plan(name="anybody")  # of those whom nothing identifies, since nobody asks who they are


def toll(app: App, context: Context) -> App:
    """The layer where anybody is limited, else the application itself.

    Raises:
        ConfigError: Redis' address is not there or none.
    """
    limits = context.config.limits
    anybody = limits.enabled or limits.per_address != Rates() or bool(limits.models)
    if not context.config.auth.on and (limits.enabled is False or not anybody):
        return app
    return Toll(app, context, _counters(context))


def _counters(context: Context) -> Counters:
    redis = context.config.redis
    if redis.url is None:
        return MemoryCounters()
    address = address_of(secret.read_line(redis.url, "redis.url"))
    from llmservice_server.gateway.toll.down import GuardedCounters  # noqa: PLC0415
    from llmservice_server.gateway.toll.redis import RedisCounters  # noqa: PLC0415

    alone = MemoryCounters() if context.config.limits.when_redis_is_down == "open" else None
    return GuardedCounters(RedisCounters(address, redis.prefix, lost=unsettled.inc), alone)


class Toll:
    def __init__(self, app: App, context: Context, counters: Counters) -> None:
        self._app, self._counters = app, counters
        self._ledger = context.ledger
        self._billed = Billed(context.config.prices)
        auth, limits = context.config.auth.on, context.config.limits
        self._identified = auth
        nobody = AnonymousRates(requests_per_minute=None)
        asked = auth or limits.enabled
        self._limits = limits if asked else limits.model_copy(update={"anonymous": nobody})
        self._model = context.config.served_name
        self._orders, self._clock = count(), Clock()
        config = context.config
        self._shares = Asking(config) if config.cache and config.redis.url else None
        self._seeding: dict[tuple[str, str], asyncio.Task[Seed]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            send = after_startup(send, self._counters.start)
            await self._app(scope, receive, before_stop(send, self._counters.close))
            return
        caller = caller_of(scope)
        if caller is None:
            if self._identified or _is_public(scope):
                await self._app(scope, receive, send)
                return
            client = scope.get("client")
            caller = Caller(client[0] if client else "", _ANYBODY)
        await self._charge(caller, scope, receive, send)

    async def _charge(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        http = scope["type"] == "http"
        computes = not http or costs(scope["method"], scope["path"])
        ask = self._ask(scope) if http and computes else None
        if ask and (fault := beyond(ask, caller.plan)):
            limited.labels("plan", caller.plan.name).inc()
            await answer_error(send, 400, "invalid_request_error", fault)
            return
        wanted = Wanted(ask, reserved(ask, caller.plan), computes)
        made = charges(caller, wanted, self._limits)
        for charge in made:
            if charge.what is What.TOKENS and charge.cost > charge.limit:
                limited.labels(charge.what.value, caller.plan.name).inc()
                await _refuse(scope, send, answer.too_large(charge))
                return
        order = Order(str(next(self._orders)), made, lookup=self._lookup(scope))
        try:
            order, verdict = await self._take(order, caller)
        except UnavailableError as error:
            await _unavailable(scope, send, str(error))
            return
        if verdict.refused is not None:
            limited.labels(order.charges[verdict.refused].what.value, caller.plan.name).inc()
            await _refuse(scope, send, answer.refusal(order, verdict, verdict.refused))
            return
        if order.lookup and made:
            note_found(scope, verdict.found)
        taken = _Taken(caller, order, verdict, wanted)
        if self._ledger and taken.monthly:
            self._ledger.reserve(caller.user or "", verdict.month, 1, wanted.tokens)
        if not http:
            try:
                await self._app(scope, receive, send)
            finally:
                self._settle(taken, Outcome(101, Usage(0, 0)))
            return
        when_ended(scope, partial(self._ended, taken))
        if ask and (most := bound(ask, caller.plan)):
            scope, receive = _bounded(scope, receive, ask.field, most)
        extra = answer.headers(order, verdict)
        await self._app(scope, receive, _adding(send, extra) if extra else send)

    def _ask(self, scope: Scope) -> Ask | None:
        ask = ask_of(scope["path"], scope["query_string"], document_of(scope))
        if ask is None:
            return None
        return ask._replace(model=ask.model or self._model, streams=streams(scope))

    def _lookup(self, scope: Scope) -> str | None:
        """What the cache would look up, in the same round trip."""
        asked = self._shares and self._shares.of(scope)
        return asked.key if asked and asked.use is Use.FULL else None

    async def _take(self, order: Order, caller: Caller) -> tuple[Order, Verdict]:
        """With what the ledger says, where the month's counters are not known.

        Raises:
            UnavailableError: nobody can say what is left.
        """
        if not order.charges:
            return order, Verdict(None, 0, (), self._clock.now().month, 0)
        for _ in range(_TRIES):
            verdict = await self._counters.take(order)
            if not verdict.unseeded:
                return order, verdict
            order = order._replace(seed=await self._seed(caller.user or "", verdict.month))
        raise UnavailableError("the month's counters are lost again and again")

    async def _seed(self, user: str, month: str) -> Seed:
        """One question to the ledger for all who wait for its answer."""
        if self._ledger is None:
            return Seed(month, 0, 0)
        asking = self._seeding.get((user, month))
        if asking is None:
            asking = asyncio.ensure_future(self._ledger.month(user, month))
            self._seeding[user, month] = asking
            asking.add_done_callback(lambda _: self._seeding.pop((user, month), None))
        try:
            async with asyncio.timeout(_LEDGER_SECONDS):
                return await asyncio.shield(asking)
        except Exception as error:
            raise UnavailableError("what was used this month cannot be read") from error

    def _ended(self, taken: "_Taken", exchange: Exchange) -> None:
        outcome = Outcome(
            exchange.status,
            exchange.usage,
            streaming=exchange.streaming,
            whole=exchange.complete,
            left=exchange.gone,
            events=exchange.events,
        )
        self._settle(taken, outcome, exchange.model or "")

    def _settle(self, taken: "_Taken", outcome: Outcome, model: str = "") -> None:
        caller, (ask, tokens, computes) = taken.caller, taken.wanted
        prompt = ask.prompt if ask else 0
        usage = usage_of(outcome, prompt)
        used = spent(outcome, usage)
        if taken.order.charges:
            self._counters.settle(taken.order, taken.verdict, used)
        if not computes:
            return
        if usage is None:
            usage = Usage(prompt, tokens - prompt)
        self._billed.add(caller.plan.name, model, used.requests, usage)
        if self._ledger is None:
            return
        self._ledger.use(
            Entry(
                key=caller.key,
                user=caller.user,
                model=(ask and ask.model if used.requests else None) or "",
                month=taken.verdict.month,
                requests=used.requests,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                reserved_requests=1 if taken.monthly else 0,
                reserved_tokens=tokens if taken.monthly else 0,
            )
        )


@dataclass(frozen=True, slots=True)
class _Taken:
    """What one request was let pass with."""

    caller: Caller
    order: Order
    verdict: Verdict
    wanted: Wanted

    @property
    def monthly(self) -> bool:
        """Whether a month's quota was charged."""
        return any(charge.what.startswith("monthly") for charge in self.order.charges)


def _is_public(scope: Scope) -> bool:
    """Whether nobody would need a key for it."""
    return scope["type"] == "http" and (
        access(scope["method"], scope["path"]).access is Access.PUBLIC
    )


def _bounded(scope: Scope, receive: Receive, field: str, most: int) -> tuple[Scope, Receive]:
    """The request with the plan's bound on its answer where it names none."""
    document = document_of(scope)
    if document is None:  # a query
        query = b"%b&%b=%d" % (scope["query_string"], field.encode(), most)
        return {**scope, "query_string": query}, receive
    bounded = {**document, field: most}
    body = json.dumps(bounded, separators=(",", ":"), ensure_ascii=False).encode()
    return replaced(scope, receive, body, bounded)


def _adding(send: Send, headers: Headers) -> Send:
    async def send_adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return send_adding


async def _refuse(scope: Scope, send: Send, refusal: answer.Refusal) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
        return
    await answer_error(send, 429, refusal.kind, refusal.message, refusal.headers)


async def _unavailable(scope: Scope, send: Send, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
        return
    message = f"The server cannot count requests now ({why}); send the request again later."
    await answer_error(send, 503, "service_unavailable", message, [_RETRY_AFTER])
