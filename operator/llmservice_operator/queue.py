"""The work queue: one entry a key, at most one worker on a key, back-off with jitter, turns.

Promises: a key added while a worker holds it is handed out once more when that worker is done;
a key added twice is handed out once. Keys of one group (a namespace) come first come, first
served; among groups the one with the fewest workers is next, in turn, and none ever has more than
`most`, so that a group of thousands, or one whose every key is slow, keeps no other waiting; a key
that fails waits its back-off while others pass. Bounded: never more entries than there are keys.
Never: polling.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable
from itertools import islice
from typing import Generic, TypeVar

from llmservice_operator import backoff, metrics

K = TypeVar("K", bound=Hashable)
FIRST_RETRY, LONGEST_RETRY = 0.2, 60.0  # seconds


def _all_in_one(_: Hashable) -> Hashable:
    return None


class Queue(Generic[K]):
    def __init__(
        self, group_of: Callable[[K], Hashable] = _all_in_one, most: float = float("inf")
    ) -> None:
        """most: how many keys of one group may be with workers at once."""
        self._group_of, self._most = group_of, most
        self._ready: dict[Hashable, deque[K]] = {}  # by group, in the order of their turns
        self._idle: deque[asyncio.Future[None]] = deque()  # workers that wait for a key
        self._added_at: dict[K, float] = {}  # in _ready, or held and due for another round
        self._held: dict[K, float] = {}  # since when
        self._holding: Counter[Hashable] = Counter()  # how many, by group
        self._later: dict[K, tuple[float, asyncio.Handle]] = {}  # due when; uvloop's do not say
        self._failures: dict[K, int] = {}
        metrics.queue_depth.set_function(lambda: len(self))
        metrics.queue_unfinished.set_function(lambda: sum(s for _, s in self.held()))
        metrics.queue_longest.set_function(lambda: max((s for _, s in self.held()), default=0.0))

    def __len__(self) -> int:
        return sum(map(len, self._ready.values()))

    def held(self) -> list[tuple[K, float]]:
        """The keys that workers are on, and for how many seconds."""
        now = time.monotonic()
        return [(key, now - since) for key, since in self._held.items()]

    def add(self, key: K) -> None:
        """Hand the key out as soon as it is its turn and none holds it."""
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
        if key in self._added_at or (known is not None and known[0] <= due):
            return
        self._cancel_timer(key)
        self._later[key] = due, loop.call_at(due, self.add, key)

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
        while (key := self._next()) is None:
            news = asyncio.get_running_loop().create_future()
            self._idle.append(news)
            try:
                await news
            except asyncio.CancelledError:
                if not news.cancelled():  # the news is another worker's now
                    self._wake()
                raise
        now = self._held[key] = time.monotonic()
        self._holding[self._group_of(key)] += 1
        metrics.queue_seconds.observe(now - self._added_at.pop(key))
        return key

    def done(self, key: K) -> None:
        metrics.queue_work_seconds.observe(time.monotonic() - self._held.pop(key))
        group = self._group_of(key)
        self._holding[group] -= 1
        if not self._holding[group]:
            del self._holding[group]
        if key in self._added_at:
            self._offer(key)
        elif self._ready:  # perhaps its group was at its most
            self._wake()

    def _next(self) -> K | None:
        if not self._ready:
            return None
        # One more than there are held keys: at least one of so many groups has no worker.
        first = islice(self._ready, len(self._held) + 1)
        group = min(first, key=self._holding.__getitem__)
        if self._holding[group] >= self._most:
            return None
        keys = self._ready.pop(group)
        key = keys.popleft()
        if keys:
            self._ready[group] = keys  # after all others
        return key

    def _offer(self, key: K) -> None:
        self._ready.setdefault(self._group_of(key), deque()).append(key)
        self._wake()

    def _wake(self) -> None:
        while self._idle:
            news = self._idle.popleft()
            if not news.done():
                news.set_result(None)
                return

    def _cancel_timer(self, key: K) -> None:
        if known := self._later.pop(key, None):
            known[1].cancel()
