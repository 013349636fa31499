"""Small images in OCI layouts."""

import hashlib
import json
from pathlib import Path

from devcluster import oci


def write_blob(layout: Path, content: bytes) -> dict[str, object]:
    digest = hashlib.sha256(content).hexdigest()
    file = layout / "blobs" / "sha256" / digest
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def write_image(layout: Path, layers: list[bytes], configuration: bytes = b"{}") -> oci.Image:
    manifest = {
        "config": write_blob(layout, configuration),
        "layers": [write_blob(layout, layer) for layer in layers],
    }
    return oci.adopt(layout, write_blob(layout, json.dumps(manifest).encode()))
