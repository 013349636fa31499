"""Node affinity and tolerations, operator by operator, as the scheduler reads them."""

from typing import Any

import pytest
from llmservice_operator.placement.matching import matches, tolerated

_LABELS = {"zone": "a", "memory": "81559", "text": "80GB", "empty": ""}


@pytest.mark.parametrize(
    ("key", "operator", "values", "verdict"),
    [
        ("zone", "In", ["b", "a"], True),
        ("zone", "In", ["b"], False),
        ("absent", "In", ["a"], False),
        ("zone", "NotIn", ["a"], False),
        ("absent", "NotIn", ["a"], True),
        ("empty", "Exists", None, True),
        ("absent", "Exists", None, False),
        ("zone", "DoesNotExist", None, False),
        ("absent", "DoesNotExist", None, True),
        ("memory", "Gt", ["81558"], True),
        ("memory", "Gt", ["81559"], False),
        ("memory", "Lt", ["81560"], True),
        ("memory", "Lt", ["81559"], False),
        ("text", "Gt", ["1"], False),
        ("text", "Lt", ["100"], False),
        ("absent", "Lt", ["100"], False),
        ("memory", "Gt", ["9223372036854775808"], False),
        ("memory", "Like", ["81559"], False),
    ],
)
def test_an_expression_matches(
    key: str, operator: str, values: list[str] | None, *, verdict: bool
) -> None:
    expression: dict[str, Any] = {"key": key, "operator": operator}
    assert matches(expression | ({"values": values} if values else {}), _LABELS) is verdict


_TAINT = {"key": "a", "value": "b", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "verdict"),
    [
        ({"key": "a", "value": "b"}, True),
        ({"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}, True),
        ({"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute"}, False),
        ({"key": "a"}, False),
        ({"key": "a", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "a", "operator": "Gt", "value": "1"}, False),
    ],
)
def test_a_taint_is_tolerated(toleration: dict[str, str], *, verdict: bool) -> None:
    assert tolerated(_TAINT, [{"key": "other", "operator": "Exists"}, toleration]) is verdict


def test_a_taint_that_is_a_wish_keeps_nobody_away() -> None:
    assert tolerated({"key": "a", "effect": "PreferNoSchedule"}, [])
