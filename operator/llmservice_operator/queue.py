"""The work queue: one entry a key, at most one worker on a key, back-off with jitter.

Promises: a key added while a worker holds it is handed out once more when that worker is done;
a key added twice is handed out once; first come, first served, so that a key that fails waits
its back-off while others pass. Bounded: never more entries than there are keys. Never: polling.
"""

import asyncio
import time
from collections.abc import Hashable
from typing import Generic, TypeVar

from llmservice_operator import backoff, metrics

K = TypeVar("K", bound=Hashable)
FIRST_RETRY, LONGEST_RETRY = 0.2, 60.0  # seconds


class Queue(Generic[K]):
    def __init__(self) -> None:
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._added_at: dict[K, float] = {}  # in _ready, or held and due for another round
        self._held: set[K] = set()
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        return self._ready.qsize()

    def add(self, key: K) -> None:
        """Hand the key out as soon as a worker is free and none holds it."""
        self._cancel_timer(key)
        if key in self._added_at:
            return
        self._added_at[key] = time.monotonic()
        metrics.queue_adds.inc()
        if key not in self._held:
            self._offer(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Hand the key out in so many seconds, or earlier if it is added meanwhile."""
        loop = asyncio.get_running_loop()
        due, known = loop.time() + seconds, self._later.get(key)
        if key in self._added_at or (known is not None and known.when() <= due):
            return
        self._cancel_timer(key)
        self._later[key] = loop.call_at(due, self.add, key)

    def retry(self, key: K, at_least: float = 0.0) -> float:
        """Hand the key out after its back-off, doubled with each failure; returns the seconds."""
        failures = self._failures[key] = self.failures(key) + 1
        seconds = max(at_least, backoff.seconds(failures, FIRST_RETRY, LONGEST_RETRY))
        metrics.queue_retries.inc()
        self.add_after(key, seconds)
        return seconds

    def failures(self, key: K) -> int:
        """How often in a row it was retried."""
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        """The key succeeded: its next failure starts with the shortest back-off."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key, held by the caller until done()."""
        key = await self._ready.get()
        self._held.add(key)
        metrics.queue_depth.set(len(self))
        metrics.queue_seconds.observe(time.monotonic() - self._added_at.pop(key))
        return key

    def done(self, key: K) -> None:
        self._held.discard(key)
        if key in self._added_at:
            self._offer(key)

    def _offer(self, key: K) -> None:
        self._ready.put_nowait(key)
        metrics.queue_depth.set(len(self))

    def _cancel_timer(self, key: K) -> None:
        if timer := self._later.pop(key, None):
            timer.cancel()
