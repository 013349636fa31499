"""Whether an upstream is worth asking, by what became of the requests before: a circuit breaker.

Closed until a few requests in a row failed; then open for a while, longer each time up to a bound;
then one request at a time tries, and closes it or opens it again. Reads no clock: who asks says
when it is.
"""

_TOLERATED = 5  # failures in a row
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0  # seconds, doubling


class Breaker:
    def __init__(self) -> None:
        self._failures = 0
        self._wait = _FIRST_WAIT
        self._trying = False
        self.until = 0.0
        """When it may be tried again, where it is open."""

    @property
    def open(self) -> bool:
        return self._failures >= _TOLERATED

    def admits(self, now: float) -> bool:
        return not self.open or (now >= self.until and not self._trying)

    def begin(self) -> bool:
        """A request goes out. Whether it is the one that tries, which to end with what it saw."""
        if not self.open:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        self._failures, self._wait, self._trying = 0, _FIRST_WAIT, False

    def failed(self, now: float, *, trial: bool) -> float:
        """How long it is left alone from now on; 0 where that changed nothing."""
        if self.open and not trial:
            return 0.0  # it went out before; what it tells is known
        self._failures += 1
        self._trying = False
        if not self.open:
            return 0.0
        rest, self._wait = self._wait, min(2 * self._wait, _LONGEST_WAIT)
        self.until = now + rest
        return rest

    def abandoned(self, *, trial: bool) -> None:
        """It ended without telling anything: its client left."""
        if trial:
            self._trying = False
