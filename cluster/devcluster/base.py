"""The base image of builds: the usual one of the registry, or one made from Debian's packages.

Promises: a machine that reaches no registry gets a base that holds the same commands (python3 with
venv, the CA certificates, apt); it is made once. BASE_IMAGE in the environment has the last word.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from devcluster import debian, imagestore, mortal
from devcluster.build import Build, Builder

_USUAL = "python:3.12-slim"
_REPOSITORY = "devcluster/base"
_PROBE_SECONDS = 20.0
_SUITE = "bookworm"
_PACKAGES = "ca-certificates,python3,python3-venv"
# dev, and what a running container gets of its own; documentation; what apt fetches anew
_LEFT_OUT = (
    *("./dev/*", "./etc/hostname", "./etc/resolv.conf"),
    *("./usr/share/doc", "./usr/share/man", "./usr/share/locale"),
    *("./var/cache/apt", "./var/lib/apt/lists/*", "./var/log/*"),
)
_MAKE_SECONDS = 1200.0


def reference(builder: Builder, reaches: Callable[[str, float], bool]) -> str:
    """What to give a Dockerfile as BASE_IMAGE; ClusterError where no base can be had.

    `reaches` says whether an image of a registry can be had within so many seconds.
    """
    if named := os.environ.get("BASE_IMAGE"):
        return named
    if own := imagestore.tag(_REPOSITORY):
        return own
    if reaches(_USUAL, _PROBE_SECONDS):
        return _USUAL
    print(f"· no image registry here: making a base of Debian {_SUITE}'s packages", flush=True)
    return _make(builder)


def _make(builder: Builder) -> str:
    debian.ensure_program("debootstrap", "debootstrap")
    with tempfile.TemporaryDirectory(dir=imagestore.scratch()) as made:
        root = Path(made) / "root"
        # in a mount namespace: what it mounts goes with it, also when it is killed
        unshared = ("unshare", "--mount", "--", "debootstrap", "--variant=minbase")
        _run("debootstrap", [*unshared, f"--include={_PACKAGES}", _SUITE, str(root)])
        context = Path(made) / "context"
        context.mkdir()
        left_out = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
        archive = str(context / "base.tar")
        from_root = (f"--directory={root}", "--numeric-owner", *left_out, ".")
        _run("tar", ["tar", "-cf", archive, *from_root])
        (context / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
        return builder.image(Build(context, context / "Dockerfile"), _REPOSITORY)


def _run(what: str, command: list[str]) -> None:
    mortal.run(what, command, _MAKE_SECONDS, env={**os.environ, "PATH": debian.path()})
