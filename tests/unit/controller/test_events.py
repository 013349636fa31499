"""Events that the API server takes."""

from typing import Any, cast

import pytest
from llmservice_operator.api import Manifest
from llmservice_operator.events import Recorder
from llmservice_operator.kinds import Kind

from tests.unit.controller.objects import resource


class _Server:
    def __init__(self) -> None:
        self.notes: list[str] = []

    async def create(self, kind: Kind, obj: Manifest) -> Manifest:
        self.notes.append(obj["note"])
        return obj


@pytest.mark.parametrize(
    ("words", "note"),
    [("x" * 2000, "x" * 1024), ("x" + "…" * 500, "x" + "…" * 341), ("short…", "short…")],
)
async def test_a_long_note_is_cut_to_the_bytes_that_the_server_takes(words: str, note: str) -> None:
    server = _Server()
    told = {"type": "Degraded", "status": "True", "reason": "ApplyRefused", "message": words}
    await Recorder(cast("Any", server), "me").announce(resource(), [told])
    assert server.notes == [note]
    assert len(note.encode()) <= 1024
