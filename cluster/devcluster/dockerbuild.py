"""Builds Dockerfiles with the machine's Docker, for clusters that kind runs.

Promises: pulls what a Dockerfile names; keeps what it builds in Docker's own store.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from devcluster import buildsecrets, imagestore, mortal
from devcluster.build import Build
from devcluster.waiting import ticking

_BASE = "python:3.12-slim"
_BUILD_SECONDS = 3600.0


@dataclass(frozen=True)
class Docker:
    """Docker as a builder; see devcluster.build.Builder."""

    def base(self) -> str:
        return os.environ.get("BASE_IMAGE", _BASE)

    def image(self, build: Build, repository: str) -> str:
        scratch = tempfile.TemporaryDirectory(dir=imagestore.scratch())
        with scratch as private, ticking(repository):
            said = Path(private) / "id"  # which docker removes and writes anew
            _build(build, [f"--iidfile={said}"])
            identity = said.read_text().strip()
        tag = f"{repository}:dev-{identity.removeprefix('sha256:')[:12]}"
        _docker("tag", identity, tag)
        return tag

    def files(self, build: Build, name: str, destination: Path) -> None:
        with ticking(name):
            _build(build, [f"--output=type=local,dest={destination}"])


def save(tag: str, archive: Path) -> None:
    """Write the image into an archive that kind can load."""
    _docker("save", f"--output={archive}", tag)


def _build(build: Build, output: list[str]) -> None:
    arguments = [f"--build-arg={name}={value}" for name, value in build.args.items()]
    if build.target:
        arguments.append(f"--target={build.target}")
    with buildsecrets.files() as given:
        arguments += [f"--secret=id={id_},src={path}" for id_, path in given.items()]
        file = f"--file={build.dockerfile}"
        _docker("build", "--progress=plain", file, *arguments, *output, str(build.context))


def _docker(*arguments: str) -> None:
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    mortal.run(f"docker {arguments[0]}", ["docker", *arguments], _BUILD_SECONDS, env=environment)
