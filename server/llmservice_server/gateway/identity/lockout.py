"""Addresses that show wrong keys again and again are locked out, and let in again slowly.

A leaking bucket an address: each wrong key fills it by one, one leaks out in ``_SECONDS``, and
while it is full nothing that the address shows is even looked at. So once it was full there is one
try each ``_SECONDS``, and who goes on meanwhile waits for longer, up to a bound. A key that was
good from this address before stays good: behind one address there may be others. Bounded in memory;
what is forgotten first is what failed longest ago. Pure: reads no clock.
"""

from llmservice_server.gateway.identity.bounded import Bounded

_TRIES = 10
_MOST = 20  # wrong keys; with the above, five and a half minutes after the last of them
_SECONDS = 30.0
_ADDRESSES = 10_000
_PROVEN = 100_000


class Lockout:
    def __init__(self) -> None:
        self._levels = Bounded[str, tuple[float, float]](_ADDRESSES)  # and when they were so
        self._proven = Bounded[tuple[str, bytes], None](_PROVEN)

    def wait(self, address: str, now: float) -> float:
        """Seconds until the address may try again; 0 while it may."""
        if address not in self._levels:
            return 0.0
        level = self._level(address, now)
        if level <= 0:
            del self._levels[address]
        return max(level - (_TRIES - 1), 0.0) * _SECONDS

    def failed(self, address: str, now: float) -> None:
        level = min(self._level(address, now) + 1, _MOST)
        self._levels.put(address, (level, now))

    def succeeded(self, address: str, fingerprint: bytes) -> None:
        if (address, fingerprint) not in self._proven:
            self._proven.put((address, fingerprint), None)

    def proven(self, address: str, fingerprint: bytes) -> bool:
        """Whether this key was good from this address before."""
        return (address, fingerprint) in self._proven

    def _level(self, address: str, now: float) -> float:
        level, when = self._levels.get(address, (0.0, now))
        return max(level - (now - when) / _SECONDS, 0.0)
