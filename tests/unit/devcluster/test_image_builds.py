import subprocess
from pathlib import Path

import pytest
from devcluster import buildsecrets, imagestore
from devcluster.build import Build
from devcluster.buildkit import BuildKit

from tests.unit.devcluster.layouts import write_image


def shell(text: str, expression: str) -> str:
    command = ["sh", "-c", f'. /dev/stdin; printf %s "{expression}"']
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def test_an_index_with_a_password_reaches_pip_and_uv_literally() -> None:
    index = "https://user:p$a'ss word@index.example/simple"

    text = buildsecrets.exports({"PIP_INDEX_URL": index}, has_ca=False)

    assert shell(text, "$PIP_INDEX_URL") == index
    assert shell(text, "$UV_DEFAULT_INDEX") == index


def test_an_index_of_uv_is_not_replaced_by_that_of_pip() -> None:
    text = buildsecrets.exports(
        {"PIP_INDEX_URL": "https://a", "UV_DEFAULT_INDEX": "https://b"}, has_ca=False
    )

    assert shell(text, "$UV_DEFAULT_INDEX") == "https://b"


def test_a_bundle_is_named_by_where_the_build_sees_it(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("")

    with buildsecrets.files({"PIP_CERT": str(bundle)}) as given:
        assert given["ca"] == bundle
        named = shell(given["env"].read_text(), "$SSL_CERT_FILE $PIP_CERT $NODE_EXTRA_CA_CERTS")
        assert named == " ".join(["/run/secrets/ca"] * 3)
        written = given["env"]
    assert not written.exists()


def test_what_a_killed_build_left_is_gone_in_the_next(cache: Path) -> None:
    with buildsecrets.files({"PIP_INDEX_URL": "https://user:word@index.example"}) as given:
        left = given["env"]
        assert left.is_relative_to(imagestore.scratch())
        with imagestore.alone():
            assert not left.exists()


def test_a_machine_that_needs_nothing_gives_no_secrets() -> None:
    with buildsecrets.files({"HOME": "/root"}) as given:
        assert given == {}


def test_an_argument_that_names_a_built_image_brings_its_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = imagestore.layout_of("some/base")
    image = write_image(place, [b"layer"])
    tag = imagestore.tag_of("some/base", image)
    build = Build(tmp_path, tmp_path / "Dockerfile.app", "slim", {"BASE_IMAGE": tag, "LEVEL": "3"})

    command = BuildKit(Path("buildctl"), "unix:///run/some.sock").command(build)

    assert f"--oci-layout=base_image={place}" in command
    assert f"--opt=context:{tag}=oci-layout://base_image@{image.manifest}" in command
    assert f"--opt=build-arg:BASE_IMAGE={tag}" in command
    assert "--opt=build-arg:LEVEL=3" in command
    assert "--opt=filename=Dockerfile.app" in command
    assert "--opt=target=slim" in command


def test_an_image_of_a_registry_is_left_to_the_registry(tmp_path: Path) -> None:
    build = Build(tmp_path, tmp_path / "Dockerfile", args={"BASE_IMAGE": "python:3.12-slim"})

    command = BuildKit(Path("buildctl"), "unix:///run/some.sock").command(build)

    assert "--opt=build-arg:BASE_IMAGE=python:3.12-slim" in command
    assert not [word for word in command if "oci-layout" in word or "target" in word]
