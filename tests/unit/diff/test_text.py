"""One object before and after, as a person reads it."""

from typing import Any

import pytest
from llmservice_operator.api import Manifest
from llmservice_operator.diff.text import difference


def _object(**metadata: Any) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "qwen", "namespace": "ml", **metadata},
        "spec": {"replicas": 1, "paused": False},
    }


def test_a_changed_field_is_a_line_out_and_a_line_in() -> None:
    after = _object() | {"spec": {"replicas": 2, "paused": False}}
    assert difference(_object(), after).splitlines() == [
        "--- cluster/ml/Deployment/qwen",
        "+++ applied/ml/Deployment/qwen",
        "@@ -4,5 +4,5 @@",
        "   name: qwen",
        "   namespace: ml",
        " spec:",
        "-  replicas: 1",
        "+  replicas: 2",
        "   paused: false",
    ]


@pytest.mark.parametrize(
    "news",
    [
        {"managedFields": [{"manager": "m"}]},
        {"resourceVersion": "2", "generation": 2},
        {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        {"annotations": {"llmservice.io/applied-hash": "abc"}},
    ],
    ids=lambda news: next(iter(news)),
)
def test_what_the_server_counts_and_our_hash_are_no_difference(news: Manifest) -> None:
    assert not difference(_object(), _object(**news))


def test_somebody_elses_annotation_is_one() -> None:
    assert "+    a: b" in difference(_object(), _object(annotations={"a": "b"}))


def test_status_is_no_difference() -> None:
    assert not difference(_object(), _object() | {"status": {"replicas": 1}})


def test_the_order_of_the_first_fields_is_no_difference() -> None:
    assert not difference(_object(), dict(reversed(_object().items())))


def test_what_appears_and_what_goes_is_shown_whole() -> None:
    new, gone = difference(None, _object()), difference(_object(), None)
    assert new.startswith("--- /dev/null\n+++ applied/ml/Deployment/qwen\n")
    assert gone.startswith("--- cluster/ml/Deployment/qwen\n+++ /dev/null\n")
    assert new.count("\n+") - 1 == gone.count("\n-") == 8


def test_a_new_service_is_shown_without_the_addresses_of_the_dry_run() -> None:
    spec: Manifest = {"clusterIP": "198.18.4.9", "ports": [{"port": 80, "nodePort": 30123}]}
    service = _object() | {"kind": "Service", "spec": spec}
    assert not {"198.18.4.9", "30123"} & set(difference(None, service).split())
    moved = service | {"spec": spec | {"clusterIP": "198.18.4.10"}}
    assert "+  clusterIP: 198.18.4.10" in difference(service, moved)
