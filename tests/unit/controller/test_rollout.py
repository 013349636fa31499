"""What is written next: order, pruning, and who says how many replicas."""

from dataclasses import replace

import pytest
from llmservice_operator.api import Manifest
from llmservice_operator.ownership import digest_of, stamped
from llmservice_operator.records import Child
from llmservice_operator.rollout import step

from tests.unit.controller.objects import child, deployment, observed, pod

_OWN_REPLICAS = [
    {
        "manager": "llmservice-operator",
        "operation": "Apply",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }
]


def _manifest(kind: str, name: str = "x", **spec: object) -> Manifest:
    return stamped({"kind": kind, "metadata": {"name": name, "namespace": "ns"}, "spec": spec})


_DEPLOYMENT = _manifest("Deployment", replicas=2)


def _written(**status: int) -> Child:
    """The Deployment as it is wanted."""
    return replace(deployment(2, **status), applied=digest_of(_DEPLOYMENT))


def test_what_a_pod_needs_is_written_before_the_deployment_and_what_acts_on_it_after() -> None:
    kinds = ["HorizontalPodAutoscaler", "Deployment", "ConfigMap", "Service", "ServiceAccount"]
    plan = step([_manifest(kind, replicas=1) for kind in kinds], observed())
    order = [m["kind"] for m in plan.apply]
    assert order.index("ConfigMap") < order.index("Deployment")
    assert order.index("ServiceAccount") < order.index("Deployment")
    assert order.index("Deployment") < order.index("HorizontalPodAutoscaler")


def test_a_child_that_nothing_renders_goes_unless_it_is_going() -> None:
    going = child("Service", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    plan = step([], observed(child("HorizontalPodAutoscaler"), going))
    assert [c.ref.kind for c in plan.prune] == ["HorizontalPodAutoscaler"]


@pytest.mark.parametrize(
    ("there", "config", "gone"),
    [
        (_written(), "x-new", ["x-old"]),
        (_written(), "x-old", []),  # a pod mentions it
        (_written(updatedReplicas=1), "x-new", []),  # an old pod may come back
        (_written(unavailableReplicas=1), "x-new", []),
        (_written(observedGeneration=0), "x-new", []),
        (deployment(2), "x-new", []),  # complete, but with what was wanted before
        (None, "x-new", []),
    ],
)
def test_a_config_map_goes_once_no_pod_has_it_and_none_can_start_with_it(
    there: Child | None, config: str, gone: list[str]
) -> None:
    children = [child("ConfigMap", "x-old"), child("ConfigMap", "x-new")]
    seen = observed(*children, *([there] if there else []), pods=(pod(config=config),))
    wanted = [_manifest("ConfigMap", "x-new"), _DEPLOYMENT]
    assert [c.ref.name for c in step(wanted, seen).prune] == gone


_AUTOSCALED = [_manifest("Deployment"), _manifest("HorizontalPodAutoscaler", minReplicas=2)]


def _deployment_applied(*children: Child) -> Manifest:
    (applied,) = (
        m for m in step(_AUTOSCALED, observed(*children)).apply if m["kind"] == "Deployment"
    )
    return applied


def test_replicas_that_are_ours_are_held_until_the_autoscaler_takes_them() -> None:
    ours = child(
        "Deployment", version=42, spec={"replicas": 3}, metadata={"managedFields": _OWN_REPLICAS}
    )
    applied = _deployment_applied(ours)
    assert applied["spec"]["replicas"] == 3
    assert applied["metadata"]["resourceVersion"] == "42"  # only if nobody scaled it meanwhile

    assert "replicas" not in _deployment_applied(deployment(5))["spec"]


def test_a_new_deployment_starts_with_what_the_autoscaler_wanted_last_or_its_minimum() -> None:
    assert _deployment_applied()["spec"]["replicas"] == 2
    scaler = child("HorizontalPodAutoscaler", status={"desiredReplicas": 4})
    assert _deployment_applied(scaler)["spec"]["replicas"] == 4


def test_what_an_autoscaler_that_may_not_be_seen_may_scale_keeps_its_replicas() -> None:
    wanted = _manifest("Deployment", replicas=7)
    ours = child("Deployment", spec={"replicas": 3}, metadata={"managedFields": _OWN_REPLICAS})
    for live, given in ((ours, {"replicas": 3}), (deployment(3), {})):
        seen = replace(observed(live), unseen=frozenset({"HorizontalPodAutoscaler"}))
        (applied,) = step([wanted], seen).apply
        assert applied["spec"] == given
        assert step([wanted], observed(live)).apply == (wanted,)


def test_no_config_map_goes_while_the_pods_may_not_be_seen() -> None:
    seen = observed(child("ConfigMap", "x-old"), _written())
    assert step([_DEPLOYMENT], seen).prune
    assert not step([_DEPLOYMENT], replace(seen, unseen=frozenset({"Pod"}))).prune


def test_replicas_that_the_resource_gives_are_what_is_applied() -> None:
    (applied,) = step([_manifest("Deployment", replicas=7)], observed(deployment(3))).apply
    assert applied["spec"]["replicas"] == 7
