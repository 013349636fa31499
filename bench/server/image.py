"""The server's image as a folder, and programs that run in it without a cluster.

Promises: the folder is the image's newest build, made once for each; a program sees the image as
its root and runs as its user, on the machine's own network; its mounts are in a namespace of its
own and end with it. Needs root, as the e2e tier does.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from devcluster import debian, images, imagestore, layout
from devcluster.waiting import ClusterError

from dev.images import server
from dev.progress import step

MODEL, FILES = "/mnt", "/srv"
"""Where a program finds the model and the folder that it is given."""

_SECONDS = 900.0
_USER = "1000:1000"
_ENTER = f"""
set -eu
cd "$1"
for each in proc sys dev; do mount --rbind /$each $each; done
mount -t tmpfs -o mode=1777 tmpfs tmp
mount --bind "$2" .{MODEL}
mount --bind "$3" .{FILES}
shift 3
exec chroot --userspec={_USER} . "$@"
"""
_ENVIRONMENT = (
    *("PATH=/opt/venv/bin:/usr/bin:/bin", "HOME=/tmp", "PYTHONDONTWRITEBYTECODE=1"),
    *("VLLM_CPU_KVCACHE_SPACE=1", "VLLM_CPU_OMP_THREADS_BIND=nobind", "VLLM_NO_USAGE_STATS=1"),
    *("HF_HUB_OFFLINE=1", "OMP_NUM_THREADS=1"),
)


def unpacked() -> Path:
    """The folder.

    Raises:
        ClusterError: the image cannot be built, or is not kept here but by Docker.
    """
    with images.builder() as builder:
        tag = server(builder, builder.base())
    image = imagestore.find(tag)
    if image is None:
        raise ClusterError("the image is Docker's: unset CLUSTER to have it built here, as root")
    place = layout.home() / "bench" / "server"
    made = place.with_name("server.made")  # names the build that the folder holds
    if not made.exists() or made.read_text() != tag:
        debian.ensure_program("zstd", "zstd")
        with step("image of the server", "its files, some GB"):
            made.unlink(missing_ok=True)
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            _, _, *layers = image.blobs()
            for layer in layers:
                _extract(image.blob(layer), place)
            made.write_text(tag)
    return place


def _extract(layer: Path, place: Path) -> None:
    """Without its marks of what it removes of layers below: what is left over hurts nobody here."""
    words = ("tar", "--zstd", "--extract", "--exclude=.wh.*", f"--file={layer}")
    options = ("--same-owner", "--preserve-permissions", f"--directory={place}")
    subprocess.run((*words, *options), check=True, timeout=_SECONDS)


def inside(root: Path, model: Path, files: Path, words: Sequence[str]) -> tuple[str, ...]:
    """The command that runs these words in the image; it becomes the program, with its id."""
    enter = ("unshare", "--mount", "--propagation=private", "sh", "-c", _ENTER, "sh")
    return (*enter, *map(str, (root, model, files)), "env", "-i", *_ENVIRONMENT, *words)
