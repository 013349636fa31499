"""The demo's model, SmolLM2-135M-Instruct, as files on this machine; never in the repository.

Promises: made once for each content of dev/smollm2, in a build, so that neither torch nor anything
else is installed on the machine; the folder appears whole or not at all.
"""

import hashlib
import shutil
from pathlib import Path

from devcluster import images, layout, locks
from devcluster.images import Build

from dev.images import server
from dev.progress import step

NAME = "smollm2-135m-instruct"
_SOURCE = Path(__file__).parent / "smollm2"
_STAMP = ".made-of"  # names the content of _SOURCE that the folder was made of


def prepare() -> Path:
    """The folder that holds the model's safetensors, configuration and tokenizer."""
    place = layout.home() / "models" / NAME
    source = _digest()
    if _made_of(place) == source:
        return place
    with (
        step("model", "the server's image, then its conversion to safetensors"),
        locks.held(layout.home() / ".model.lock", "making the model"),
    ):
        if _made_of(place) != source:  # not made by another process meanwhile
            _make(place, source)
    return place


def _make(place: Path, source: str) -> None:
    fresh = place.with_name(f"{NAME}.new")
    with images.builder() as builder:
        base = builder.base()
        args = {"BASE_IMAGE": base, "SERVER_IMAGE": server(builder, base)}
        shutil.rmtree(fresh, ignore_errors=True)
        builder.files(Build(_SOURCE, _SOURCE / "Dockerfile", args=args), NAME, fresh)
    (fresh / _STAMP).write_text(source)
    for path in (place.parent, fresh, *fresh.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)  # pods read it as another user
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)


def _made_of(place: Path) -> str | None:
    stamp = place / _STAMP
    return stamp.read_text() if stamp.exists() else None


def _digest() -> str:
    digest = hashlib.sha256()
    for file in sorted(_SOURCE.iterdir()):
        if file.is_file():
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
