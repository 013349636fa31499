"""A request that costs the engine something waits for its turn here, or is refused at once.

The answer has not begun yet, so that a refusal is a 503 with Retry-After and no stream that ends in
an error. Promises never more requests in the engine than the bound, never more waiting ones than
theirs, and none that waits longer than the deadline; a client that leaves the queue leaves it at
once. Callers wait in fair order by their plans' weights, and a queue that one of them fills is open
to the others. What costs the engine nothing passes. Nothing is done per chunk.
"""

import asyncio

from llmservice_server.gateway.ahead import Ahead
from llmservice_server.gateway.asgi import (
    TRY_AGAIN_LATER,
    App,
    Receive,
    Scope,
    Send,
    answer_error,
    answer_nobody,
)
from llmservice_server.gateway.caller import caller_of
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.route_table import of_admins
from llmservice_server.gateway.usage import Usage, count

# Seconds. Long enough for some of what runs to end, short enough for one of several replicas.
_RETRY_AFTER = (b"retry-after", b"2")
_GENERATING_GETS = frozenset({"/stream"})
# POSTs that the engine's scheduler never sees. What is not listed waits for its turn: a route that
# a new release brings is bounded before anybody knows it.
_FREE_POSTS = frozenset(
    {
        *("/tokenize", "/detokenize", "/v1/messages/count_tokens"),
        *("/v1/load_lora_adapter", "/v1/unload_lora_adapter"),
        *("/sleep", "/wake_up", "/pause", "/resume", "/abort_requests"),
        *("/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache"),
        *("/start_profile", "/stop_profile", "/ping"),
    }
)


def costs(method: str, path: str) -> bool:
    """Whether the engine has to compute for this request."""
    if method == "POST":
        return path not in _FREE_POSTS and not path.endswith("/cancel") and not of_admins(path)
    return method == "GET" and path in _GENERATING_GETS


class Admission:
    def __init__(self, app: App, context: Context) -> None:
        self._app = app
        self._turns = context.turns
        self._limits = context.config.limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan" or (kind == "http" and not costs(scope["method"], scope["path"])):
            await self._app(scope, receive, send)
            return
        if not self._turns.begin():
            if kind == "websocket":
                await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
                return
            ahead = Ahead(receive)
            if not await self._turn_came(scope, ahead, send):
                return
            receive = ahead.receive
        try:
            await self._app(scope, receive, send)
        finally:
            self._turns.end()

    async def _turn_came(self, scope: Scope, ahead: Ahead, send: Send) -> bool:
        turns, caller = self._turns, caller_of(scope)
        tenant, weight = (caller.tenant, caller.plan.weight) if caller else ("", 1)
        full = turns.waiting >= self._limits.waiting
        if full and not turns.displace(tenant, weight):
            await _refuse(send, f"{turns.running} requests run and {turns.waiting} wait")
            return False
        turn, came = turns.join(tenant, weight), False
        gone = asyncio.ensure_future(ahead.until_gone())
        try:
            await asyncio.wait(
                {turn, gone},
                timeout=self._limits.wait_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            came = turn.done() and not turn.cancelled()
        finally:
            gone.cancel()
            if not came:
                turns.leave(turn)
        if came:
            return True
        if gone.done():
            count(scope, Usage(0, 0))
            await answer_nobody(send)
        elif turn.cancelled():
            await _refuse(send, f"{turns.waiting} wait, others of them for less than you")
        else:
            await _refuse(send, f"no turn came in {self._limits.wait_seconds} s")
        return False


async def _refuse(send: Send, why: str) -> None:
    message = f"The server is busy ({why}); send the request again later."
    await answer_error(send, 503, "service_unavailable", message, [_RETRY_AFTER])
