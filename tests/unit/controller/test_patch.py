"""The status that is there and the one that should be: what differs, and what is news."""

import pytest
from llmservice_operator.api import Manifest
from llmservice_operator.observed import Observed
from llmservice_operator.status import beside_others, is_news, merge_patch, transitions

from tests.unit.controller.objects import child, deployment, observed, pod
from tests.unit.controller.statuses import status_of, verdicts, whole


def test_the_same_observation_gives_no_patch() -> None:
    seen = whole(pod("a", ready=True))
    status = status_of(seen)
    again = Observed(seen.resource, seen.children, seen.pods)
    known = observed(*again.children, pods=again.pods, status=status)
    assert merge_patch(status, status_of(known, now="2027-01-01T00:00:00Z")) == {}


@pytest.mark.parametrize("garbage", [{"conditions": "none"}, {"conditions": [1, {}]}, {"x": [1]}])
def test_garbage_in_the_old_status_is_replaced(garbage: Manifest) -> None:
    seen = observed(child("Service"), deployment(1), pods=(pod(ready=True),), status=garbage)
    status = status_of(seen)
    assert verdicts(status)["Ready"][0] == "True"
    assert merge_patch(garbage, status)["conditions"] == status["conditions"]


def test_conditions_of_others_stay_as_they_are_found_behind_ours() -> None:
    seen = whole(pod("a", ready=True))
    status = status_of(seen)
    others: list[Manifest] = [{"type": f"Audited{n}", "status": "True"} for n in range(40)]
    for conditions in ([*status["conditions"], *others[:2]], [*others[:2], *status["conditions"]]):
        both = beside_others({**status, "conditions": conditions}, status)
        assert both == {**status, "conditions": [*status["conditions"], *others[:2]]}
        assert beside_others(both, status) == both
        assert transitions({"conditions": conditions}, both) == []
        assert not is_news({**status, "conditions": conditions}, both)
    gone = [{"type": "Stalled", "status": "True"}]  # ours, and no longer so
    assert beside_others({"conditions": gone}, status) == status
    assert len(beside_others({"conditions": others}, status)["conditions"]) == 32
    assert beside_others({"conditions": "garbage"}, status) == status


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": None}}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}),
        ({"a": 0}, {"a": 0}, {}),
        ({"a": {"b": 1}}, {"a": 1}, {"a": 1}),
    ],
)
def test_the_patch_holds_only_what_differs(old: Manifest, new: Manifest, patch: Manifest) -> None:
    assert merge_patch(old, new) == patch


def test_only_a_changed_verdict_is_news() -> None:
    def with_message(words: str, status: str = "True") -> Manifest:
        condition = {"type": "Ready", "status": status, "reason": "Serving", "message": words}
        return {"conditions": [condition]}

    assert transitions(with_message("1 of 2"), with_message("2 of 2")) == []
    assert len(transitions(with_message("a"), with_message("a", status="False"))) == 1
    assert len(transitions({}, with_message("a"))) == 1
