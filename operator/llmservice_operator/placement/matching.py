"""Node affinity and tolerations, decided as the scheduler decides them. Pure.

Follows component-helpers/scheduling/corev1/nodeaffinity, apimachinery's labels.Requirement and
ToleratesTaint of the core types. The operators Gt and Lt of tolerations are not among ours: they
are alpha, and off.
"""

from collections.abc import Iterable, Mapping, Sequence

from llmservice_operator.api.manifest import Manifest

_HARD = ("NoSchedule", "NoExecute")
_LARGEST = 2**63 - 1


def terms(affinity: Manifest | None) -> Sequence[Sequence[Manifest]]:
    """The expressions of each required term of a nodeAffinity; one term must match."""
    required = (affinity or {}).get("requiredDuringSchedulingIgnoredDuringExecution", {})
    return [term.get("matchExpressions", ()) for term in required.get("nodeSelectorTerms", ())]


def matches(expression: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels satisfies the expression."""
    has, values = labels.get(expression["key"]), expression.get("values", ())
    match expression["operator"]:
        case "In" | "NotIn" as operator:
            return (has in values) == (operator == "In")
        case "Exists" | "DoesNotExist" as operator:
            return (has is not None) == (operator == "Exists")
        case "Gt" | "Lt" as operator:
            left, right = _number(has), _number(values[0])
            if left is None or right is None:
                return False
            return left > right if operator == "Gt" else left < right
        case _:
            return False


def _number(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdecimal()):
        return None
    number = int(text)
    return number if number <= _LARGEST else None


def tolerated(taint: Manifest, tolerations: Iterable[Manifest]) -> bool:
    """Whether a pod with these tolerations may come to a node with this taint."""
    return taint.get("effect") not in _HARD or any(
        toleration.get("effect") in (None, "", taint.get("effect"))
        and toleration.get("key") in (None, "", taint.get("key"))
        and (
            toleration.get("operator") == "Exists"
            or (
                toleration.get("operator", "Equal") == "Equal"
                and toleration.get("value", "") == taint.get("value", "")
            )
        )
        for toleration in tolerations
    )
