"""Writing files of a cluster."""

import os
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Give `path` this content, readable by its owner only; the file is replaced whole.

    A file that has it already is not touched: kube-proxy ends when its configuration is written.
    """
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
