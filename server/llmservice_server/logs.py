"""One JSON object a line on standard output, for our lines, uvicorn's, the engine's and warnings.

Every process of the server configures itself from the same dictionary, written to a file whose
path the engine's processes inherit. Errors with a traceback are also noted in a small file beside
it, so that the process that ends can name the cause even when another process met it.
"""

import json
import logging
import logging.config
import time
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from llmservice_server.config import LogLevel

FAULTS = "faults"  # the name of the notes in the folder given to ``configure``
_FAULTS_BYTES = 65536  # the notes start anew beyond this size
_LINE = 2000  # characters of one note
_TERMINAL = frozenset({"<stdout>", "<stderr>"})


class JsonFormatter(logging.Formatter):
    """time, level, logger, message; ``extra={"fields": {...}}`` adds fields; tracebacks inside."""

    def __init__(self) -> None:
        super().__init__()
        self._second, self._when = -1, ""  # of the line before, often that of this one

    def format(self, record: logging.LogRecord) -> str:
        if (second := int(record.created)) != self._second:
            self._second = second
            self._when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        line: dict[str, Any] = {
            "time": f"{self._when}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if _elsewhere(record):
            line["process"] = record.processName
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return to_json(line, fallback=str).decode()  # a tenth of what json takes
        except ValueError:  # half a character, or bytes: no line is lost for it
            return json.dumps(line, default=str)


class FaultNotes(logging.Handler):
    """Notes the last line of each logged traceback, with its time, for ``first_fault``."""

    def __init__(self, path: str) -> None:
        super().__init__(logging.ERROR)
        self._path = Path(path)

    def emit(self, record: logging.LogRecord) -> None:
        if not record.exc_info or record.exc_info[1] is None:
            return
        error = record.exc_info[1]
        text, engines = f"{type(error).__name__}: {error}"[:_LINE], _elsewhere(record)
        note = json.dumps([record.created, text, engines])
        try:
            full = self._path.exists() and self._path.stat().st_size > _FAULTS_BYTES
            with self._path.open("w" if full else "a") as notes:
                notes.write(note + "\n")
        except OSError:
            self.handleError(record)


def first_fault(notes: Path, *, since: float, but: str = "\n") -> str | None:
    """The first error noted at or after a time in seconds since the epoch: the root cause.

    What fails first makes the rest fail; the last one only says that something failed before.
    Errors that begin with ``but`` say only that much, too, and are passed over. The engine's
    processes come first: in this one each wrong request is logged, which ends nothing.
    """
    if not notes.exists():
        return None
    noted = [json.loads(line) for line in notes.read_text().splitlines()]
    faults = [note[1:] for note in noted if note[0] >= since and not note[1].startswith(but)]
    return next((text for text, engines in faults if engines), faults[0][0] if faults else None)


def _elsewhere(record: logging.LogRecord) -> bool:
    return record.processName != "MainProcess"


def settings(level: LogLevel, notes: Path) -> dict[str, Any]:
    """The dictionary for ``logging.config.dictConfig``, also for uvicorn and for vLLM."""
    above: dict[str, Any] = {"level": level.upper(), "handlers": [], "propagate": True}
    quiet = {"level": "WARNING"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "llmservice_server.logs.JsonFormatter"}},
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "stream": "ext://sys.stdout",
            },
            "faults": {"()": "llmservice_server.logs.FaultNotes", "path": str(notes)},
        },
        "root": {"level": level.upper(), "handlers": ["stdout", "faults"]},
        "loggers": {
            "vllm": above,
            "uvicorn": above,
            "uvicorn.error": above,
            "aiosqlite": quiet,  # which tells all values of its statements
            "alembic": quiet,
            "httpx": quiet,
            "httpx2": quiet,
            "urllib3": quiet,
        },
    }


def configure(level: LogLevel, folder: Path) -> Path:
    """Configure this process, and write the same into ``folder`` for others; returns that file."""
    chosen = settings(level, folder / FAULTS)
    file = folder / "logging.json"
    file.write_text(json.dumps(chosen))
    logging.config.dictConfig(chosen)
    logging.captureWarnings(capture=True)
    return file


def adopt() -> None:
    """Take over the loggers that libraries, as torch, gave a terminal's handlers, and warnings."""
    logging.captureWarnings(capture=True)
    for logger in list(logging.root.manager.loggerDict.values()):
        if not isinstance(logger, logging.Logger):
            continue
        for handler in [*logger.handlers]:
            stream = getattr(handler, "stream", None)
            if getattr(stream, "name", None) in _TERMINAL:
                logger.removeHandler(handler)
                logger.propagate = True
