"""Does an engine that has requests still give tokens?

Told once a second what there is to see, it says when nothing has moved for too long. Promises: only
time in which the engine had a request all along counts, and none in which nobody looked, as when
the machine was asleep; what moves again is no longer hung. Knows no engine and no clock.
"""

import logging

INTERVAL = 1.0
"""Seconds between two looks."""

_log = logging.getLogger("llmservice.engine")


class Hang:
    """``reason`` is a line for people while the engine is hung, else None; 0 seconds is never."""

    def __init__(self, seconds: float) -> None:
        self._limit = seconds
        self._sign: object = None
        self._looked = self._still = 0.0
        self.reason: str | None = None

    def look(self, now: float, *, requests: int, sign: object) -> None:
        """``sign`` is whatever differs once a token was read or written."""
        passed, self._looked = min(now - self._looked, 2 * INTERVAL), now
        if not requests or sign != self._sign:
            self._sign, self._still = sign, 0.0
            if self.reason:
                _log.warning("the engine is not hung any more")
                self.reason = None
            return
        self._still += passed
        if self._limit and self._still >= self._limit and not self.reason:
            self.reason = (
                f"the engine is hung: {requests} requests and not one token for {self._still:.0f} s"
                " (liveness.hangSeconds)"
            )
            _log.error("%s", self.reason)
