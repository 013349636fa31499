"""Where built images lie: one OCI layout for each repository, holding its newest image only."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from devcluster import layout, locks, oci

_SCRATCH = "tmp"


def folder() -> Path:
    """For everything that building and keeping images needs."""
    return layout.home() / "images"


@contextmanager
def alone() -> Generator[None]:
    """No two builds at once, and no build while layers are read; what `scratch` held goes."""
    with locks.held(folder() / ".lock", "building images"):
        shutil.rmtree(folder() / _SCRATCH, ignore_errors=True)  # of a build that was killed
        try:
            yield
        finally:
            shutil.rmtree(folder() / _SCRATCH, ignore_errors=True)


def scratch() -> Path:
    """For what a build needs while it runs, readable by its owner alone: see `alone`."""
    place = folder() / _SCRATCH
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def layout_of(repository: str) -> Path:
    return folder() / "layouts" / repository


def tag(repository: str) -> str | None:
    """The tag of the repository's image, None where none was built."""
    place = layout_of(repository)
    if not (place / "index.json").exists():
        return None
    return tag_of(repository, oci.newest(place))


def tag_of(repository: str, image: oci.Image) -> str:
    """The tag that names this content."""
    return f"{repository}:{oci.version(image)}"


def find(wanted: str) -> oci.Image | None:
    """The image with this tag, None where it is not, or no longer, here."""
    repository = wanted.rpartition(":")[0]
    return oci.newest(layout_of(repository)) if repository and tag(repository) == wanted else None
