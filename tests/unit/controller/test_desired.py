"""What is wanted is rendered once for each generation, and is the same whoever asks again."""

from dataclasses import replace
from typing import Any

import pytest
from llmservice_operator import desired as module
from llmservice_operator.api import LLMService, Manifest
from llmservice_operator.desired import Desired
from llmservice_operator.ownership import stamped
from llmservice_operator.records import Resource
from llmservice_operator.render import RenderDefaults, render

from tests.unit.controller.objects import resource

_DEFAULTS = RenderDefaults(server_image="server:1")


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The image of each resource that was rendered."""
    asked: list[str] = []

    def counted(service: LLMService, defaults: RenderDefaults) -> list[Manifest]:
        asked.append(service.spec.engine.image or "")
        return render(service, defaults)

    monkeypatch.setattr(module, "render", counted)
    return asked


def _wanted(desired: Desired, seen: Resource) -> list[Manifest]:
    return desired.children(seen, LLMService.parse(seen.manifest))


def _resource(image: str, **meta: Any) -> Resource:
    spec = {
        "model": {"uri": "hf://org/model-7B"},
        "engine": {"image": image, "env": [{"name": "A", "value": "é"}]},
    }
    return resource(spec=spec, **meta)


def test_a_generation_is_rendered_once_and_every_asker_gets_the_same(rendered: list[str]) -> None:
    desired, seen = Desired(_DEFAULTS), _resource("a")
    first = _wanted(desired, seen)
    again = _wanted(desired, seen)
    assert rendered == ["a"]
    service = LLMService.parse(seen.manifest)
    assert first == again == [stamped(m) for m in render(service, _DEFAULTS)]
    again[0]["metadata"]["name"] = "spoiled"
    assert _wanted(desired, seen) == first


def test_another_generation_another_uid_or_nothing_remembered_is_rendered_anew(
    rendered: list[str],
) -> None:
    desired, seen = Desired(_DEFAULTS), _resource("a")
    _wanted(desired, seen)
    _wanted(desired, replace(_resource("b"), generation=2))
    _wanted(desired, replace(_resource("c", uid="v"), generation=2))
    desired.forget(seen.key)
    _wanted(desired, replace(_resource("d", uid="v"), generation=2))
    assert rendered == ["a", "b", "c", "d"]
