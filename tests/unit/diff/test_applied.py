"""What a user's next apply of a file does to the resource that is there."""

import json
from typing import Any

import pytest
from llmservice_operator.api import Manifest
from llmservice_operator.diff.applied import applier, merge_patch

_LAST = "kubectl.kubernetes.io/last-applied-configuration"


def _live(*appliers: str, last: object = None) -> Manifest:
    text = last if isinstance(last, str) else json.dumps(last)
    entries: list[Manifest] = [
        {"manager": name, "operation": "Apply", "fieldsV1": {"f:spec": {}}} for name in appliers
    ]
    entries.append({"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {}}})
    entries.append({"manager": "labels", "operation": "Apply", "fieldsV1": {"f:metadata": {}}})
    annotations = {_LAST: text} if last is not None else {}
    return {"metadata": {"managedFields": entries, "annotations": annotations}}


@pytest.mark.parametrize(
    ("live", "who"),
    [
        (_live(), None),
        (_live("argocd-controller"), "argocd-controller"),
        (_live("kubectl", "autoscaler"), "kubectl"),
        (_live("autoscaler", last={"spec": {}}), None),
        (_live("kubectl", last={"spec": {}}), "kubectl"),
    ],
    ids=[
        "created",
        "server-side",
        "server-side by kubectl, shared",
        "client-side, shared",
        "client-side once, server-side since",
    ],
)
def test_it_is_applied_as_it_was_applied_last(live: Manifest, who: str | None) -> None:
    assert applier(live) == who


def test_which_of_several_is_meant_is_asked() -> None:
    with pytest.raises(ValueError, match=r"argocd, flux share it: write --field-manager"):
        applier(_live("flux", "argocd"))


@pytest.mark.parametrize(
    ("last", "new", "patch"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": None}}),
        ({"a": {"b": 1}}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": [{"b": 1}]}, {"a": [{"c": 1}]}, {"a": [{"c": 1}]}),
    ],
)
def test_what_the_file_no_longer_has_goes(last: Any, new: Any, patch: Any) -> None:
    assert merge_patch(_live(last={"spec": last}), {"spec": new}) == {"spec": patch}


@pytest.mark.parametrize("last", [None, "no JSON", "7", {"spec": 7}, {}])
def test_where_nothing_is_known_of_the_last_apply_nothing_goes(last: object) -> None:
    assert merge_patch(_live(last=last), {"spec": {"a": 1}}) == {"spec": {"a": 1}}
