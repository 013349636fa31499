"""What pods suffer from, told in one sentence that stays while nothing changes."""

from typing import Any

import pytest
from llmservice_operator.api import Manifest

from tests.unit.controller.objects import pod
from tests.unit.controller.statuses import status_of, verdicts, whole


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("ImagePullFailed", {"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
        (
            "ImagePullFailed",
            {
                "waiting": {
                    "reason": "ImagePullBackOff",
                    "message": 'Back-off pulling image "i": ErrImagePull: not found',
                }
            },
        ),
    ],
)
def test_both_faces_of_one_failing_pull_give_the_same_words(reason: str, state: Manifest) -> None:
    told = verdicts(status_of(whole(pod(containerStatuses=[{"state": state}]))))
    assert told["Degraded"] == (
        "True",
        reason,
        "the pod cannot pull the image server:1: not found",
    )


def test_a_crashing_server_gives_the_same_words_whether_it_waits_runs_or_has_just_ended() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "boom"}}
    words = "the pod ended with exit code 1: boom"
    assert _degraded(ended, 1) == {("True", "Crashed", words)}
    assert _degraded(ended, 2, 3, 4) == {("True", "CrashLooping", words)}


def _degraded(ended: Manifest, *restarts: int) -> set[tuple[str, str, str]]:
    """All that is said while a container that ends like this is restarted so often."""
    faces: list[Manifest] = [
        {"state": ended},
        {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended},
        {"state": {"running": {}}, "lastState": ended},
    ]
    counted = [{**face, "restartCount": number} for face in faces for number in restarts]
    return {verdicts(status_of(whole(pod(containerStatuses=[c]))))["Degraded"] for c in counted}


def test_a_server_that_is_restarted_without_an_error_is_told_with_how_often() -> None:
    ended = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    why = "for no error of its own: it starts too slowly, hangs, or just ends"
    assert _degraded(ended, 0) == {("False", "AsExpected", "Nothing is wrong.")}
    assert _degraded(ended, 1) == {("True", "NotAnswering", f"the pod was restarted once, {why}")}
    for counts in ((2, 3), (4, 5, 7), (8, 15)):
        words = f"the pod was restarted {counts[0]} times or more, {why}"
        assert _degraded(ended, *counts) == {("True", "NotAnswering", words)}


def test_a_container_that_is_there_to_end_has_ended_well() -> None:
    ended = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    prepared = pod(initContainerStatuses=[{"state": ended, "restartCount": 1}])
    assert verdicts(status_of(whole(prepared)))["Degraded"][0] == "False"


def test_a_server_that_crashed_once_and_answers_now_is_fine() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    healed = pod(ready=True, containerStatuses=[{"state": {"running": {}}, "lastState": ended}])
    assert verdicts(status_of(whole(healed)))["Degraded"][0] == "False"


def test_an_old_exit_is_history_once_the_server_has_started_again() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    face = {"state": {"running": {}}, "lastState": ended, "started": True}
    told = verdicts(status_of(whole(pod("a", ready=True), pod("b", containerStatuses=[face]))))
    assert told["Degraded"][0] == "False"
    assert told["Ready"][1] == "PartlyServing"


def test_an_evicted_pod_is_not_counted_and_not_a_trouble() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "Error"}}
    evicted = pod("z", phase="Failed", reason="Evicted", containerStatuses=[{"state": ended}])
    told = verdicts(status_of(whole(pod("a", ready=True), pod("b", ready=True), evicted)))
    assert told["Degraded"][0] == "False"
    assert told["Ready"][1] == "Serving"


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (
            {"memory": "8Gi"},
            (
                "the pod was ended for using more memory than its limit of 8Gi: "
                "raise pod.resources.limits.memory, or let the engine use less"
            ),
        ),
        (
            {},
            (
                "the pod was ended because its node ran out of memory: "
                "write what it needs in pod.resources.requests.memory, or let the engine use less"
            ),
        ),
    ],
)
def test_a_server_out_of_memory_is_told_with_whose_memory(limits: Manifest, words: str) -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    broken = pod(limits=limits, containerStatuses=[{"state": ended}])
    assert verdicts(status_of(whole(broken)))["Degraded"] == ("True", "OutOfMemory", words)


def test_an_unschedulable_pod_is_told_by_placement_where_nodes_are_known() -> None:
    stuck = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}
    seen = whole(pod("a", conditions=[stuck]), pod("b", conditions=[stuck]))
    told = verdicts(status_of(seen))
    assert told["Degraded"][2] == "2 of 2 pods cannot be scheduled: 0/3"
    told = verdicts(status_of(seen, fittingNodes=0, message="no node has GPUs"))
    assert told["Degraded"][2] == "2 of 2 pods cannot be scheduled: no node has GPUs"


@pytest.mark.parametrize(
    ("placement", "told"),
    [
        ({"fittingNodes": 1, "roomFor": 2, "message": "ours"}, "0/1: unbound claims"),
        ({"fittingNodes": 1, "message": "what runs is not known"}, "0/1: unbound claims"),
        ({"message": "nodes are not known"}, "0/1: unbound claims"),
        ({"fittingNodes": 1, "roomFor": 0, "message": "1 node is full"}, "1 node is full"),
    ],
)
def test_where_a_replica_would_fit_the_scheduler_says_why_it_does_not(
    placement: dict[str, Any], told: str
) -> None:
    said = "0/1: unbound claims"
    stuck = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    seen = whole(pod("a", conditions=[stuck]))
    degraded = verdicts(status_of(seen, **placement))["Degraded"]
    assert degraded[2] == f"the pod cannot be scheduled: {told}"
