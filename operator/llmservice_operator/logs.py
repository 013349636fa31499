"""Logs as JSON lines on stderr, each with the resource that was being worked on, and in which
reconcile: all lines of one have the same id.

Never: a manifest, a Secret, a token.
"""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import NamedTuple

from llmservice_operator.records import Key


class Reconcile(NamedTuple):
    """Of which LLMService, and which one of all; in which trace (spans.py), if it has one."""

    key: Key
    id: str
    trace_id: str = ""


current: ContextVar[Reconcile | None] = ContextVar("current", default=None)
"""What the running task works on."""


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if work := current.get():
            namespace, name = work.key
            line |= {"namespace": namespace, "llmservice": name, "reconcile": work.id}
            if work.trace_id:
                line["trace_id"] = work.trace_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kopf tells each start and stop of its own tasks; its warnings are what we want to see.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
