"""`render` and `crd` on the command line, without a cluster."""

from pathlib import Path

import pytest
import yaml
from llmservice_operator import records, rollout
from llmservice_operator.__main__ import main
from llmservice_operator.api import LLMService, Manifest
from llmservice_operator.observed import Observed
from llmservice_operator.ownership import stamped
from llmservice_operator.records import APPLIED_HASH
from llmservice_operator.render import RenderDefaults, render

_EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda path: path.stem)
def test_prints_the_children_of_each_example(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", str(example), "--server-image", "mine:1"]) == 0
    children = list(yaml.safe_load_all(capsys.readouterr().out))
    name = yaml.safe_load(example.read_text())["metadata"]["name"]
    assert {child["metadata"]["labels"]["app.kubernetes.io/instance"] for child in children} == {
        name
    }
    assert "Deployment" in {child["kind"] for child in children}
    assert all("uid" not in child["metadata"]["ownerReferences"][0] for child in children)


def _applied(written: Manifest, images: RenderDefaults) -> list[Manifest]:
    """What the operator sends where there is nothing yet."""
    meta = {"namespace": "default", "uid": "u", "resourceVersion": "1", **written["metadata"]}
    resource = {**written, "metadata": meta}
    desired = [stamped(child) for child in render(LLMService.parse(resource), images)]
    return list(rollout.step(desired, Observed(records.resource(resource), (), ())).apply)


def _by_name(children: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    return {(child["kind"], child["metadata"]["name"]): child for child in children}


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda path: path.stem)
def test_prints_what_is_applied_but_for_what_the_cluster_decides(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--server-image=a:1", "--proxy-image=b:1", "--redis-image=c:1")
    assert main(["render", str(example), *flags]) == 0
    printed = list(yaml.safe_load_all(capsys.readouterr().out))
    images = RenderDefaults("a:1", "b:1", "c:1")
    applied = _applied(yaml.safe_load(example.read_text()), images)

    scaled = {m["metadata"]["name"] for m in applied if m["kind"] == "HorizontalPodAutoscaler"}
    for child in applied:
        if child["kind"] == "Deployment" and child["metadata"]["name"] in scaled:
            assert child["spec"].pop("replicas")
        for owner in child["metadata"]["ownerReferences"]:
            assert owner.pop("uid") == "u"
        assert child["metadata"]["annotations"].pop(APPLIED_HASH)
    for child in (*applied, *printed):
        if not child["metadata"].get("annotations"):
            child["metadata"].pop("annotations", None)
    assert _by_name(printed) == _by_name(applied)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("kind: Service", "no LLMService in it: write apiVersion, kind: LLMService"),
        ("kind: [", "while parsing"),
        ("kind: LLMService", "metadata.name: is missing: write it"),
        (
            "{kind: LLMService, metadata: {name: x}, spec: {model: {uri: hf://a/b}, gpus: 1}}",
            "spec.gpus: unknown field: remove it or correct its name",
        ),
        (
            "{kind: LLMService, metadata: {name: x}, spec: {model: {uri: s3://a/b}}}",
            "spec.model.uri: unknown scheme: write hf://",
        ),
    ],
)
def test_a_broken_file_is_one_line_and_exit_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    assert main(["render", str(file)]) == 1
    printed = capsys.readouterr()
    assert not printed.out
    assert sentence in printed.err
    assert printed.err.count("\n") == 1


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "/nowhere.yaml"]) == 1
    assert "/nowhere.yaml" in capsys.readouterr().err


def test_crd_prints_what_is_checked_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crd"]) == 0
    checked_in = Path(__file__).parents[3] / "crds" / "llmservice.io_llmservices.yaml"
    assert capsys.readouterr().out == checked_in.read_text()


def test_diff_of_a_broken_file_or_without_a_cluster_is_one_line_and_exit_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    for file, sentence in (("/nowhere.yaml", "/nowhere.yaml"), (_EXAMPLES[0], "set KUBECONFIG")):
        assert main(["diff", str(file)]) == 2
        printed = capsys.readouterr()
        assert not printed.out
        assert sentence in printed.err
        assert printed.err.count("\n") == 1


def test_a_fault_of_diff_itself_does_not_pass_for_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config").write_text("no: kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert main(["diff", str(_EXAMPLES[0])]) == 2
    assert not capsys.readouterr().out
