"""The pause image and fake nodes: what is made without the help of a registry or a machine."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from devcluster import kwok, pause


def test_the_pause_image_is_whole(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(b"program")
    with tarfile.open(fileobj=io.BytesIO(pause.archive(program))) as archive:
        files = {member.name: archive.extractfile(member) for member in archive}
        content = {name: file.read() for name, file in files.items() if file}
    (entry,) = json.loads(content["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == pause.IMAGE
    manifest = json.loads(content[_blob(entry["digest"])])
    for part in (entry, manifest["config"], *manifest["layers"]):
        blob = content[_blob(part["digest"])]
        assert part["digest"] == f"sha256:{hashlib.sha256(blob).hexdigest()}"
        assert part["size"] == len(blob)
    (layer,) = manifest["layers"]
    with tarfile.open(fileobj=io.BytesIO(content[_blob(layer["digest"])])) as files_of_layer:
        assert files_of_layer.getmember("pause").mode == 0o755


def test_a_fake_node_is_kwoks_and_offers_what_it_was_given() -> None:
    node = kwok.fake_node("a", {"zone": "z"}, {"nvidia.com/gpu": "4"}, tainted=True)
    assert node["metadata"]["annotations"] == {"kwok.x-k8s.io/node": "fake"}
    assert node["metadata"]["labels"]["zone"] == "z"
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "4"
    assert node["spec"]["taints"][0]["effect"] == "NoSchedule"
    assert not kwok.fake_node("a", {}, {}, tainted=False)["spec"]["taints"]


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
