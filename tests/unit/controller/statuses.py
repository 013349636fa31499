"""The status of what was observed, and what its conditions say, for the tests of this folder."""

from typing import Any

from llmservice_operator.api import LLMService, Manifest
from llmservice_operator.observed import Observed, Problem
from llmservice_operator.status import Situation, compute

from tests.unit.controller.objects import child, deployment, observed

NOW = "2026-05-01T00:00:00Z"
SERVICE = LLMService.parse(
    {"metadata": {"name": "x", "namespace": "ns"}, "spec": {"model": {"uri": "hf://a/b"}}}
)


def status_of(
    seen: Observed,
    *problems: Problem,
    now: str = NOW,
    complained: float = 0.0,
    **placement: Any,
) -> Manifest:
    situation = Situation(SERVICE, seen, problems, placement or None, now, complained=complained)
    return compute(situation)


def verdicts(status: Manifest) -> dict[str, tuple[str, str, str]]:
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in status["conditions"]}


def whole(*pods: Any, **status: Any) -> Observed:
    return observed(child("Service"), deployment(2, **status), pods=pods)
