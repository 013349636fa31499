"""The OCI image layout: what an image consists of, and an archive of the part that is missing.

Specification: github.com/opencontainers/image-spec, image-layout.md. Promises: a blob is only ever
read whole and under its digest; only `adopt` and `prune` change a layout.
"""

import io
import json
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_NAME = "io.containerd.image.name"  # what containerd calls the image on import


@dataclass(frozen=True)
class Image:
    """An image in the layout folder `layout`, by the digest of its manifest ("sha256:…")."""

    layout: Path
    manifest: str

    def blobs(self) -> list[str]:
        """Digests of all it consists of: the manifest, the configuration, the layers in order."""
        content = json.loads(self.blob(self.manifest).read_bytes())
        parts = [content["config"], *content["layers"]]
        return list(dict.fromkeys([self.manifest, *(part["digest"] for part in parts)]))

    def blob(self, digest: str) -> Path:
        return self.layout / "blobs" / Path(*digest.split(":", 1))

    def size(self, digests: Collection[str]) -> int:
        """Bytes that these blobs take."""
        return sum(self.blob(digest).stat().st_size for digest in digests)


def newest(layout: Path) -> Image:
    """The image adopted last. FileNotFoundError where there is none."""
    manifests = json.loads((layout / "index.json").read_bytes())["manifests"]
    return Image(layout, manifests[0]["digest"])


def adopt(layout: Path, descriptor: Mapping[str, Any]) -> Image:
    """Make this manifest, which lies in the layout, the layout's only image."""
    fresh = layout / "index.json.new"
    fresh.write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))
    fresh.replace(layout / "index.json")
    return Image(layout, descriptor["digest"])


def version(image: Image) -> str:
    """A tag that names the content: two images share it only where they are the same."""
    _, configuration, *_ = image.blobs()
    return f"dev-{configuration.removeprefix('sha256:')[:12]}"


def missing(image: Image, present: Collection[str]) -> list[str]:
    """What an importer that has the blobs `present` must be given.

    The manifest and the configuration always go along, for an archive is read by them.
    """
    manifest, configuration, *layers = image.blobs()
    return [manifest, configuration, *(layer for layer in layers if layer not in present)]


def write_archive(image: Image, name: str, digests: Collection[str], target: IO[bytes]) -> None:
    """An OCI layout as a tar stream holding `digests` of the image, under the full name `name`."""
    descriptor: dict[str, Any] = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": image.manifest,
        "size": image.size([image.manifest]),
        "annotations": {_NAME: name},
    }
    with tarfile.open(fileobj=target, mode="w|", bufsize=1 << 20) as archive:
        _add(archive, "oci-layout", {"imageLayoutVersion": "1.0.0"})
        _add(archive, "index.json", {"schemaVersion": 2, "manifests": [descriptor]})
        for digest in digests:
            archive.add(image.blob(digest), "blobs/" + digest.replace(":", "/"))


def prune(image: Image) -> None:
    """Remove from its layout what the image does not consist of: the layers of older ones."""
    kept = {image.blob(digest) for digest in image.blobs()}
    for blob in (image.layout / "blobs").glob("*/*"):
        if blob not in kept:
            blob.unlink()


def _add(archive: tarfile.TarFile, name: str, content: Any) -> None:
    data = json.dumps(content).encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
