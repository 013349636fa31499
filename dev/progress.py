"""Progress lines: each step with what it waits for and the seconds it took."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_STARTED = time.monotonic()
_printing = threading.Lock()


def say(text: str) -> None:
    """One line with the seconds since the program started in front; safe from any thread."""
    with _printing:
        print(f"[{time.monotonic() - _STARTED:5.0f} s] {text}", flush=True)


@contextmanager
def step(title: str, waits_for: str) -> Iterator[None]:
    """A step's begin and end; where it fails the error goes on and no end is printed."""
    say(f"{title}: {waits_for} …")
    begun = time.monotonic()
    yield
    say(f"{title}: done in {time.monotonic() - begun:.1f} s")
