import io
import json
import tarfile
from pathlib import Path

import pytest
from devcluster import imagestore, oci

from tests.unit.devcluster.layouts import write_image


def test_a_node_with_the_lower_layers_is_given_the_upper_one_only(tmp_path: Path) -> None:
    image = write_image(tmp_path, [b"base", b"packages", b"code"])
    manifest, configuration, base, packages, code = image.blobs()

    assert oci.missing(image, {base, packages}) == [manifest, configuration, code]
    assert oci.missing(image, set()) == image.blobs()


def test_the_manifest_goes_along_even_where_the_node_has_it(tmp_path: Path) -> None:
    image = write_image(tmp_path, [b"base"])

    assert oci.missing(image, set(image.blobs())) == image.blobs()[:2]


def test_an_archive_is_a_layout_with_the_name_and_the_given_blobs(tmp_path: Path) -> None:
    image = write_image(tmp_path, [b"base", b"code"])
    given = oci.missing(image, {image.blobs()[2]})
    stream = io.BytesIO()

    oci.write_archive(image, "docker.io/a/b:dev-1", given, stream)

    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        files = {name: read(archive, name) for name in archive.getnames()}
    index = json.loads(files.pop("index.json"))
    assert json.loads(files.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = index["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/a/b:dev-1"
    assert entry["digest"] == image.manifest
    assert entry["size"] == len(files["blobs/" + image.manifest.replace(":", "/")])
    assert set(files) == {"blobs/" + digest.replace(":", "/") for digest in given}
    assert b"base" not in files.values()


def test_the_same_content_has_the_same_version_and_other_content_another(tmp_path: Path) -> None:
    first = write_image(tmp_path / "first", [b"code"], b'{"rootfs": 1}')
    again = write_image(tmp_path / "again", [b"code"], b'{"rootfs": 1}')
    other = write_image(tmp_path / "other", [b"code"], b'{"rootfs": 2}')

    assert oci.version(first) == oci.version(again) != oci.version(other)


def test_pruning_forgets_the_layers_of_older_images_alone(tmp_path: Path) -> None:
    old = write_image(tmp_path, [b"base", b"old code"], b"1")
    base, code = old.blobs()[2:]
    new = write_image(tmp_path, [b"base", b"new code"], b"2")

    oci.prune(new)

    assert all(new.blob(digest).exists() for digest in new.blobs())
    assert old.blob(base).exists()
    assert not old.blob(code).exists()
    assert not old.blob(old.manifest).exists()


def test_only_the_newest_image_of_a_repository_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = imagestore.layout_of("some/app")
    place.mkdir(parents=True)
    assert imagestore.tag("some/app") is None

    old = imagestore.tag_of("some/app", write_image(place, [b"old"], b"1"))
    newest = write_image(place, [b"new"], b"2")

    assert imagestore.find(old) is None
    assert imagestore.find(imagestore.tag_of("some/app", newest)) == newest
    assert imagestore.find("python:3.12-slim") is None


def read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()
