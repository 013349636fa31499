"""Builds images and loads them into a cluster, moving only the layers that its node lacks.

    with images.builder() as builder:
        tag = builder.image(Build(context, dockerfile, args={"BASE_IMAGE": builder.base()}), "a/b")
    images.load(cluster, tag)

Promises: an unchanged source gives the same tag; a changed one gives another, so that pods restart.
No registry, no Docker daemon (but for kind). One process builds at a time, the others wait.
"""

import subprocess
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from devcluster import buildkit, containerd, dockerbuild, imagestore, kind, oci, provider
from devcluster.build import Build, Builder
from devcluster.cluster import Cluster
from devcluster.waiting import ClusterError

__all__ = ["Build", "Builder", "builder", "load"]

_IMPORT_SECONDS = 900.0


@contextmanager
def builder() -> Generator[Builder]:
    """A builder for the time of the block: Docker where kind runs clusters, else BuildKit."""
    chosen = provider.choose("node", provider.Machine.here())
    with imagestore.alone():
        if chosen == "kind":
            yield dockerbuild.Docker()
        else:
            with buildkit.daemon() as own:
                yield own


def load(cluster: Cluster, tag: str) -> None:
    """Give the cluster's nodes the image. ClusterError where it is not built."""
    begun = time.monotonic()
    with imagestore.alone():
        if cluster.provider == "kind":
            with tempfile.TemporaryDirectory(dir=imagestore.scratch()) as private:
                archive = Path(private) / "image.tar"
                dockerbuild.save(tag, archive)
                kind.load(cluster.layout, archive)
            moved = "all of it"
        else:
            moved = ", ".join([_import(socket, tag) for socket in cluster.containerds])
    print(f"· loaded {tag} in {time.monotonic() - begun:.1f} s ({moved})", flush=True)


def _import(socket: Path, tag: str) -> str:
    image = imagestore.find(tag)
    if image is None:
        raise ClusterError(f"{tag} is not the newest build of its repository: build it, then load")
    name = f"docker.io/{tag}"
    if name in containerd.ctr(socket, "images", "list", "--quiet").split():
        return "it was there"
    present = containerd.ctr(socket, "content", "list", "--quiet").split()
    given = oci.missing(image, frozenset(present))
    importer = subprocess.Popen(
        containerd.command(socket, "images", "import", "-"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    late = threading.Timer(_IMPORT_SECONDS, importer.kill)
    late.start()
    try:
        # where it ends early the pipe breaks; what it says stands in the error
        with suppress(BrokenPipeError), cast("IO[bytes]", importer.stdin) as pipe:
            oci.write_archive(image, name, given, pipe)
        importer.stdin = None  # communicate stumbles over one that is closed
        said = importer.communicate()[1].decode().strip()
    finally:
        late.cancel()
        importer.kill()
    if importer.returncode:
        raise ClusterError(f"importing {tag}: {said or f'not within {_IMPORT_SECONDS:.0f} s'}")
    return f"{image.size(given) / 1e6:,.1f} MB moved"
