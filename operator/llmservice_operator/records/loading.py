"""The record of what a server that loads says of itself, as its /health has it.

Promises: whatever it says, a word that we know, a date and a number go on, and nothing else: what
goes into the status must be no stranger's text, nor any that the API server would refuse.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from llmservice_operator.api.manifest import Manifest

STEP = 25  # percent: nearer is not told, since each step is a write of the status
# The server's words (its loading.Phase) and ours.
PHASES = {
    "starting": "Starting",
    "downloading": "Downloading",
    "weights": "Weights",
    "compiling": "Compiling",
    "warming-up": "WarmingUp",
    "completion": "Completion",
}


@dataclass(frozen=True, slots=True)
class Loading:
    """since: RFC 3339. progress: percent of the phase, rounded down to a STEP."""

    phase: str
    since: str
    progress: int | None

    def manifest(self) -> Manifest:
        told: Manifest = {"phase": self.phase, "since": self.since}
        return told if self.progress is None else {**told, "progress": self.progress}


def _date(text: str) -> str:
    datetime.fromisoformat(text)
    return text


class _Said(BaseModel):
    phase: Literal["starting", "downloading", "weights", "compiling", "warming-up", "completion"]
    since: Annotated[
        str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"), AfterValidator(_date)
    ]
    progress: Annotated[int, Field(strict=True, ge=0, le=100)] | None = None


def loading(said: bytes) -> Loading | None:
    """None where it says nothing of the kind."""
    try:
        found = _Said.model_validate_json(said)
    except ValidationError:
        return None
    steps = None if found.progress is None else found.progress // STEP * STEP
    return Loading(PHASES[found.phase], found.since, steps)
