"""Where a server is in its life: starting, ready, draining, refusing; and what is in flight.

Plain state that the layers read and change on the event loop's thread; it starts no task, opens
nothing and knows no engine.
"""

import asyncio
import time
from enum import Enum


class Phase(Enum):
    """The value is what people read in /health and /readyz."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    REFUSING = "refusing"


class Lifecycle:
    """The phase, which only moves forward, and the number of requests not yet answered in full.

    since: when the phase began, in seconds since the epoch.
    """

    def __init__(self) -> None:
        self.phase, self.since = Phase.STARTING, time.time()
        self.in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def stopping(self) -> bool:
        return self.phase in {Phase.DRAINING, Phase.REFUSING}

    def ready(self) -> None:
        """A completion went through. A server that is told to stop meanwhile stays stopping."""
        if self.phase is Phase.STARTING:
            self._enter(Phase.READY)

    def drain(self) -> None:
        self._enter(Phase.DRAINING)

    def refuse(self) -> None:
        self._enter(Phase.REFUSING)

    def begin(self) -> None:
        self.in_flight += 1
        self._idle.clear()

    def end(self) -> None:
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()

    def _enter(self, phase: Phase) -> None:
        self.phase, self.since = phase, time.time()

    async def idle(self, timeout_seconds: float) -> bool:
        """Wait until nothing is in flight; False when the time was not enough."""
        try:
            async with asyncio.timeout(timeout_seconds):  # 0 still sees that nothing is
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
