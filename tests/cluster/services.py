"""LLMServices for the tests of this folder, and what they wait for."""

from typing import Any

from tests.cluster.kube import PATIENCE, Kube, Manifest, condition, eventually


def minimal(name: str, ready_after: str = "", **spec: Any) -> Manifest:
    """ready_after: how long a fake node takes until the pod is ready, as 2s or 1h."""
    annotations = {"pod-ready.stage.kwok.x-k8s.io/delay": ready_after} if ready_after else {}
    return {
        "apiVersion": "llmservice.io/v1alpha1",
        "kind": "LLMService",
        "metadata": {"name": name},
        "spec": {
            "model": {"uri": "hf://Qwen/Qwen2.5-7B-Instruct"},
            **({"pod": {"annotations": annotations}} if annotations else {}),
            **spec,
        },
    }


def autoscaled(name: str, **spec: Any) -> Manifest:
    return minimal(name, autoscaling={"min": 2, "max": 5}, **spec)


def wait_ready(kube: Kube, name: str) -> None:
    """All pods answer, and nothing is on the way any more."""
    wait_condition(kube, name, "Ready", "True", "Serving")
    wait_condition(kube, name, "Progressing", "False", "UpToDate")


def wait_not_ready(kube: Kube, name: str) -> None:
    eventually(
        f"{name} is not ready",
        lambda: condition(kube.get("LLMService", name), "Ready").get("status") == "False",
    )


def wait_condition(
    kube: Kube, name: str, kind: str, status: str, reason: str, seconds: float = PATIENCE
) -> Manifest:
    """Returns the condition. It must be of the resource's newest generation."""
    seen: Manifest = {}

    def there() -> Manifest | None:
        nonlocal seen
        service = kube.there("LLMService", name)
        seen = condition(service, kind)
        generation = service["metadata"]["generation"]
        wanted = (status, reason, generation)
        found = (seen.get("status"), seen.get("reason"), seen.get("observedGeneration"))
        return seen if found == wanted else None

    try:
        return eventually(f"{kind}={status} {reason}", there, seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {seen}") from None
