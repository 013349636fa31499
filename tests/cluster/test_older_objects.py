"""Objects of every schema that there was go on working: accepted strictly, kept whole, rendered.

Each schema that has more fields than the ones before it, or refuses less, adds a file to older/,
which has all of these and never changes (tests/unit/api/test_crd.py misses one that is in none).
From the first schema to the second, fields came one by one and none went: an object of a time
between them is one of the second, less what there was not yet. Only of engine.args four flags for
browsers are refused since, which gateway.cors has taken over: what serves with one goes on serving,
and a condition says what to write instead.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from devcluster import Cluster
from llmservice_operator.api import LLMService
from llmservice_operator.render import RenderDefaults, render

from tests.cluster import services, writes
from tests.cluster.kube import Kube, RefusedError, eventually, install_crds
from tests.cluster.operator_process import Operator

Manifest = dict[str, Any]
_CRD = Path(__file__).parents[2] / "crds/llmservice.io_llmservices.yaml"
_OLDER = {
    f"{file.stem} {obj['metadata']['name']}": obj
    for file in sorted((Path(__file__).parent / "older").glob("*.yaml"))
    for obj in yaml.safe_load_all(file.read_text())
}


def _lost(written: object, kept: object, path: str = "spec") -> Iterator[str]:
    """The fields that were written and are not there as they were."""
    if isinstance(written, dict) and isinstance(kept, dict):
        for name, value in written.items():
            yield from _lost(value, kept.get(name), f"{path}.{name}")
    elif isinstance(written, list) and isinstance(kept, list) and len(written) == len(kept):
        for number, value in enumerate(written):
            yield from _lost(value, kept[number], f"{path}[{number}]")
    elif written != kept:
        yield path


@pytest.mark.parametrize("obj", _OLDER.values(), ids=_OLDER)
def test_an_older_object_is_accepted_kept_whole_and_rendered(
    cluster: Cluster, namespace: str, obj: Manifest
) -> None:
    strictly = ("apply", "-n", namespace, "--validate=strict", "-o", "json", "-f", "-")
    kept = json.loads(cluster.kubectl(*strictly, input=json.dumps(obj)))
    assert not list(_lost(obj["spec"], kept["spec"]))

    read = {"metadata": {"name": kept["metadata"]["name"]}, "spec": kept["spec"]}
    LLMService.parse(read, unknown="forbid")
    children = render(
        LLMService.parse(kept), RenderDefaults("llmservice/server:test", redis_image="redis:7")
    )
    bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": children})
    # by force: an operator that runs beside this test may have been there first
    dry_run = ("apply", "--server-side", "--force-conflicts", "--dry-run=server")
    strictly = (*dry_run, "--validate=strict", "-f", "-")
    assert len(cluster.kubectl(*strictly, input=bundle).splitlines()) == len(children)


@pytest.fixture
def older_schema(cluster: Cluster) -> Iterator[Callable[[str], None]]:
    """Called with a flag of engine.args that the schema refuses, it puts one there that does not,
    until the end of the test or a call with "".
    """

    def there(flag: str) -> None:
        if not flag:
            install_crds(cluster)
            return
        crd = yaml.safe_load(_CRD.read_text())
        node = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for name in ("spec", "engine", "args"):
            node = node["properties"][name]
        del node["properties"][flag]
        apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
        cluster.kubectl(*apply, input=json.dumps(crd))

    yield there
    there("")


def _serving(kube: Kube) -> Manifest:
    """The children as they are written, and the pods."""
    found: Manifest = {}
    for name, obj in kube.children("serves").items():
        moves = {"resourceVersion", "managedFields"}  # with each status
        metadata = {k: v for k, v in obj["metadata"].items() if k not in moves}
        found[name] = {**obj, "metadata": metadata, "status": None}
    return found | {pod["metadata"]["uid"]: "Pod" for pod in kube.list("Pod")}


def test_what_serves_with_a_flag_that_is_refused_since_goes_on_serving(
    operator: Operator,
    older_schema: Callable[[str], None],
    cluster: Cluster,
    kube: Kube,
) -> None:
    flag = "allowed-origins"
    with_flag = {"spec": {"engine": {"args": {flag: ["*"]}}}}

    def taken() -> bool:
        other = services.minimal("new", engine=with_flag["spec"]["engine"])
        try:
            kube.apply(other, "test", dry_run=True)
        except RefusedError:
            return False
        return True

    kube.create(services.minimal("serves"))
    services.wait_ready(kube, "serves")
    writes.until_quiet(operator)
    operator.stop()  # that of then took the flag
    older_schema(flag)
    eventually("the flag is taken", taken)
    kube.merge("LLMService", "serves", with_flag)
    older_schema("")
    eventually("the flag is refused", lambda: not taken())
    served = _serving(kube)

    operator.start()
    found = services.wait_condition(kube, "serves", "Degraded", "True", "InvalidSpec")
    assert flag in found["message"]
    assert "write gateway.cors.origins" in found["message"]
    services.wait_condition(kube, "serves", "Ready", "True", "Serving")
    writes.until_quiet(operator)
    assert _serving(kube) == served

    kube.merge("LLMService", "serves", {"spec": {"engine": {"args": None}}})
    services.wait_condition(kube, "serves", "Degraded", "False", "AsExpected")
