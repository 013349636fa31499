"""Builds images and loads them into a cluster, moving only the layers that its node lacks.

    with images.builder() as builder:
        tag = builder.image(Build(context, dockerfile, args={"BASE_IMAGE": builder.base()}), "a/b")
    images.load(cluster, tag)

Promises: an unchanged source gives the same tag; a changed one gives another, so that pods restart.
No registry, no Docker daemon (but for kind). One process builds at a time, the others wait.
"""

import fcntl
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from devcluster import buildkit, dockerbuild, imagestore, kind, oci, provider
from devcluster.build import Build, Builder
from devcluster.cluster import Cluster
from devcluster.waiting import ClusterError, wait_until

__all__ = ["Build", "Builder", "builder", "load"]

_WAIT_SECONDS = 3600.0
_IMPORT_SECONDS = 900.0


@contextmanager
def builder() -> Generator[Builder]:
    """A builder for the time of the block: Docker where kind runs clusters, else BuildKit."""
    if provider.choose("node", provider.Machine.here()) == "kind":
        yield dockerbuild.Docker()
    else:
        with _alone(), buildkit.daemon() as own:
            yield own


def load(cluster: Cluster, tag: str) -> None:
    """Give the cluster's nodes the image. ClusterError where it is not built."""
    begun = time.monotonic()
    if cluster.provider == "kind":
        with tempfile.TemporaryDirectory(prefix="devcluster-") as private:
            archive = Path(private) / "image.tar"
            dockerbuild.save(tag, archive)
            kind.load(cluster.layout, archive)
        moved = "all of it"
    else:
        with _alone():
            moved = ", ".join([_import(socket, tag) for socket in cluster.containerds])
    print(f"· loaded {tag} in {time.monotonic() - begun:.1f} s ({moved})", flush=True)


def _import(socket: Path, tag: str) -> str:
    image = imagestore.find(tag)
    if image is None:
        raise ClusterError(f"{tag} is not the newest build of its repository: build it, then load")
    name = f"docker.io/{tag}"
    if name in _ctr(socket, "images", "list", "--quiet").split():
        return "it was there"
    given = oci.missing(image, frozenset(_ctr(socket, "content", "list", "--quiet").split()))
    importer = subprocess.Popen(
        _command(socket, "images", "import", "-"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        # where it ends early the pipe breaks; what it says stands in the error
        with suppress(BrokenPipeError):
            oci.write_archive(image, name, given, cast("IO[bytes]", importer.stdin))
        importer.stdin = None  # closed already, which communicate would stumble over
        said = importer.communicate(timeout=_IMPORT_SECONDS)[1]
    finally:
        importer.kill()
    if importer.returncode:
        raise ClusterError(f"importing {tag}: {said.decode().strip()}")
    return f"{image.size(given) / 1e6:,.1f} MB moved"


def _command(socket: Path, *arguments: str) -> list[str]:
    return ["ctr", "--address", str(socket), "--namespace", "k8s.io", *arguments]


def _ctr(socket: Path, *arguments: str) -> str:
    done = subprocess.run(
        _command(socket, *arguments), capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise ClusterError(f"ctr {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


@contextmanager
def _alone() -> Generator[None]:
    """No two builds at once, and no build while layers are read."""
    imagestore.folder().mkdir(parents=True, exist_ok=True)
    with (imagestore.folder() / ".lock").open("w") as lock:

        def locked() -> bool:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not locked():
            print("· waiting for another build of images to end", flush=True)
            wait_until("another build of images", locked, _WAIT_SECONDS)
        yield
