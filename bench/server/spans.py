"""How busy the machine was during a comparison, and how much of that was not the bench's."""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import proc

HEAD = ("comparison", "seconds", "bench and what it measures", "others", "load average")


@dataclass(frozen=True)
class Span:
    """here, others: cores that were used."""

    name: str
    seconds: float
    here: float
    others: float
    load: float

    def row(self) -> tuple[str, ...]:
        numbers = (f"{self.seconds:.0f}", f"{self.here:.2f}", f"{self.others:.2f}")
        return (self.name, *numbers, f"{self.load:.1f}")


@contextmanager
def span(name: str, into: list[Span]) -> Generator[None]:
    """All processes that the block starts must have ended with it."""
    begun, before = time.monotonic(), _used()
    yield
    seconds = time.monotonic() - begun
    whole, here = ((now - then) / seconds for now, then in zip(_used(), before, strict=True))
    into.append(Span(name, seconds, here, max(0.0, whole - here), os.getloadavg()[0]))


def _used() -> tuple[float, float]:
    """CPU seconds so far: of the machine, and of this process with its children that ended."""
    whole = proc.machine_seconds(Path("/proc/stat").read_text(), proc.TICKS)
    times = os.times()
    return whole, times.user + times.system + times.children_user + times.children_system
