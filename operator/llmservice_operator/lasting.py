"""For how long something has been so, as far as this process knows.

Others date what they tell by their own clocks, and ours may be stepped: no date is compared with
the time of day.
"""

import time
from collections.abc import Callable

from llmservice_operator.records import Key


class Lasting:
    """One thing of each LLMService."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds; it never goes back."""
        self._clock = clock
        self._since: dict[Key, tuple[str, float]] = {}

    def seconds(self, key: Key, what: str) -> float:
        """what: another text whenever it begins anew, "" while it is not so."""
        if not what:
            self.forget(key)
            return 0.0
        known, since = self._since.get(key, ("", 0.0))
        if known != what:
            since = self._clock()
            self._since[key] = what, since
        return self._clock() - since

    def forget(self, key: Key) -> None:
        self._since.pop(key, None)
