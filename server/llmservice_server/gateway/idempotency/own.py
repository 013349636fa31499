"""Claims of one replica, in its memory: as many that run as there are requests, and a bounded
shelf of what was answered.
"""

from llmservice_server.config import IdempotencyConfig
from llmservice_server.gateway.answers.recorded import Recorded
from llmservice_server.gateway.answers.shelf import Shelf
from llmservice_server.gateway.idempotency.claims import Claim, Held


class OwnClaims:
    def __init__(self, config: IdempotencyConfig) -> None:
        self._running: dict[str, Claim] = {}
        self._answered = Shelf[Held](config.ttl_seconds, config.max_entries, config.max_bytes)

    def start(self) -> None:
        """There is nothing to do."""

    async def claim(self, claim: Claim) -> Held | None:
        if running := self._running.get(claim.name):
            return Held(running.asked, None)
        if held := self._answered.get(claim.name):
            return held
        self._running[claim.name] = claim
        return None

    async def keep(self, claim: Claim, answer: Recorded) -> None:
        self._answered.put(claim.name, Held(claim.asked, answer), answer.size)
        await self.release(claim)

    async def release(self, claim: Claim) -> None:
        if self._running.get(claim.name) == claim:
            del self._running[claim.name]

    async def close(self) -> None:
        """Nothing is left to do."""
