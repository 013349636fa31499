"""Programs that stand in for those of the machine."""

from pathlib import Path

import pytest


def put(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Have `name` found first on the PATH, as this shell script."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
