"""Nonces that all replicas share, in Redis: one round trip more for a signed request.

Promises that of two replicas one serves a request that is sent to both. Where Redis is down, which
costs what `Patience` says, either each replica remembers its own or nothing that is signed is
served, as the configuration has it for limits.
"""

from llmservice_server.gateway.answers.patience import Patience
from llmservice_server.gateway.identity.refused import cannot_tell
from llmservice_server.gateway.identity.signature import KEPT, Nonces
from llmservice_server.gateway.toll.wire import RedisDownError, RedisRefusedError


class SharedNonces:
    """``alone``: this replica's own, which count in any case; None serves nothing without Redis."""

    def __init__(self, redis: Patience, prefix: str, alone: Nonces | None) -> None:
        self._redis, self._prefix, self._alone = redis, prefix, alone

    def start(self) -> None:
        self._redis.start()

    async def fresh(self, nonce: bytes) -> bool:
        if self._alone is not None and not await self._alone.fresh(nonce):
            return False
        name = f"{self._prefix}:nonce:{nonce.hex()}"
        try:
            return await self._redis.call("SET", name, "", "NX", "PX", KEPT * 1000) is not None
        except (RedisDownError, RedisRefusedError):
            if self._alone is None:
                raise cannot_tell("Signatures cannot be checked at the moment.") from None
            return True
