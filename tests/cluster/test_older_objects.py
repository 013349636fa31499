"""Objects of every schema that there was go on working: accepted strictly, kept whole, rendered.

Each schema that has more fields than the ones before it, or refuses less, adds a file to older/,
which has all of these and never changes (tests/unit/api/test_crd.py misses one that is in none).
From the first schema to the second, fields came one by one and none went: an object of a time
between them is one of the second, less what there was not yet. Only of engine.args four flags for
browsers are refused since, which gateway.cors has taken over.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from devcluster import Cluster
from llmservice_operator.api import LLMService
from llmservice_operator.render import RenderDefaults, render

Manifest = dict[str, Any]
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
