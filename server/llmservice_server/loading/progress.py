"""How far a server is that does not serve yet.

Each process of the engine notes what it does in a file of its own, and the server is as far as the
slowest of them. Knows no engine. Promises: a note is read whole or not at all, and one that cannot
be written or read fails nobody.
"""

import json
import os
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path


def date(seconds: float) -> str:
    """Seconds since the epoch as every answer writes them: RFC 3339, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Phase(StrEnum):
    """What there is to do, in its order; the values are read in /health."""

    STARTING = "starting"  # imports, configuration, the engine's processes
    DOWNLOADING = "downloading"
    WEIGHTS = "weights"
    COMPILING = "compiling"  # and how much memory is left
    WARMING_UP = "warming-up"  # caches, graphs
    COMPLETION = "completion"  # a first one, of the server's own
    READY = "ready"


_ORDER = tuple(Phase)


@dataclass(frozen=True)
class Progress:
    """since: seconds since the epoch. percent: of the phase, where somebody counts.

    before: the phases of the same process before it, with their beginnings.
    """

    phase: Phase
    since: float
    percent: int | None = None
    before: tuple[tuple[Phase, float], ...] = ()

    def told(self, now: float | None = None) -> dict[str, object]:
        """As /health says it."""
        passed = round(max((now or time.time()) - self.since, 0.0), 1)
        told: dict[str, object] = {
            "phase": self.phase.value,
            "since": date(self.since),
            "seconds": passed,
        }
        return told if self.percent is None else {**told, "progress": self.percent}

    def at(self, percent: int) -> "Progress":
        return replace(self, percent=percent)

    def then(self, phase: Phase, since: float) -> "Progress":
        return Progress(phase, since, before=(*self.before, (self.phase, self.since)))


class Notes:
    """The notes of all processes, in a folder that only they know."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, progress: Progress) -> None:
        """Note what this process does, in place of what it noted before."""
        note = json.dumps([progress.phase, progress.since, progress.percent, progress.before])
        file = self._folder / f"loading-{os.getpid()}"
        fresh = file.with_name(f"{file.name}.new")
        try:
            fresh.write_text(note)
            fresh.replace(file)
        except OSError:
            return

    def slowest(self) -> Progress | None:
        """How far the process is that is least far; None while none has noted anything."""
        found = [p for file in self._folder.glob("loading-*[0-9]") if (p := _read(file))]
        return min(found, key=_how_far, default=None)


def _how_far(progress: Progress) -> tuple[int, int, float]:
    return _ORDER.index(progress.phase), progress.percent or 0, -progress.since


def _read(file: Path) -> Progress | None:
    try:
        phase, since, percent, before = json.loads(file.read_text())
        return Progress(
            Phase(phase),
            float(since),
            percent if percent is None else int(percent),
            tuple((Phase(name), float(began)) for name, began in before),
        )
    except (OSError, ValueError, TypeError):
        return None
