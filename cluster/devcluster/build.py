"""What can be asked of a builder of images, whichever it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Build:
    """What to build: a Dockerfile's stage (the last one by default) and its build arguments.

    An argument that is the tag of an image built here stands for that image.
    """

    context: Path
    dockerfile: Path
    target: str = ""
    args: Mapping[str, str] = field(default_factory=dict[str, str])


class Builder(Protocol):
    """Several threads may build with one. ClusterError, with the log's end, where a build fails."""

    def base(self) -> str:
        """The image with Python to build on: what to give a Dockerfile as BASE_IMAGE."""
        ...

    def image(self, build: Build, repository: str) -> str:
        """Build it and return its tag: `repository`, and a version that names the content.

        The repository's older version is forgotten.
        """
        ...

    def files(self, build: Build, name: str, destination: Path) -> None:
        """Build it and write its last stage's files into the folder `destination`."""
        ...
