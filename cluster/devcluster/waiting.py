"""Waiting for something to become true, never for ever."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_PROGRESS_SECONDS = 30


class ClusterError(Exception):
    """Something the cluster needs did not happen; the message says what to look at or do."""


def wait_until(
    what: str,
    probe: Callable[[], bool],
    timeout: float,
    explain: Callable[[], str] = lambda: "",
) -> None:
    """Return once `probe` is true; ClusterError after `timeout` seconds, with `explain()` added.

    `probe` may raise ClusterError itself to give up at once.
    """
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while not probe():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {timeout:.0f} s{explain()}")
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


@contextmanager
def ticking(name: str) -> Generator[None]:
    """A line every now and then, so that a long build is seen to live."""
    done = threading.Event()

    def tick() -> None:
        begun = time.monotonic()
        while not done.wait(_PROGRESS_SECONDS):
            print(f"  still building {name} … {time.monotonic() - begun:.0f} s", flush=True)

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
