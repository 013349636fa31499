"""How a start went, from the first second to the first completion: each phase with its seconds.

What the engine's processes noted, with what only the server knows before and after it. Promises
phases in the order in which they began, of which the last one lasts. Knows no engine.
"""

import time
from collections.abc import Callable

from llmservice_server.loading.progress import Notes, Phase, Progress


class Startup:
    """Made in the moment in which the server starts; told of what only it knows."""

    def __init__(self, notes: Notes | None = None, clock: Callable[[], float] = time.time) -> None:
        self._notes, self._clock = notes, clock
        self._passed = [Progress(Phase.STARTING, clock())]

    def begins(self, phase: Phase) -> None:
        """The engine is up; what is left is the server's own."""
        self._passed = [*self._phases(), Progress(phase, self._clock())]
        self._notes = None

    @property
    def now(self) -> Progress:
        """How far it is."""
        return self._phases()[-1]

    def told(self) -> dict[str, object]:
        """As /status says it: the phase that lasts, and ``phases``, all that there were."""
        phases, now = self._phases(), self._clock()
        ends = [*(after.since for after in phases[1:]), now]
        seconds = [
            {"phase": phase.phase.value, "seconds": round(max(end - phase.since, 0.0), 1)}
            for phase, end in zip(phases, ends, strict=True)
        ]
        return {**phases[-1].told(now), "phases": seconds}

    def _phases(self) -> list[Progress]:
        slowest = self._notes.slowest() if self._notes else None
        if slowest is None:
            return self._passed
        return [*self._passed, *(Progress(*before) for before in slowest.before), slowest]
