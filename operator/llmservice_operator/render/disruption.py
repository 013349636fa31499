"""The PodDisruptionBudget: how many replicas a node drain may take at once."""

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.resource import LLMService
from llmservice_operator.render.identity import metadata, selector


def disruption_budget(service: LLMService) -> Manifest:
    """One replica may be missing unless the resource says otherwise.

    minAvailable 1 is no default: with one replica it blocks every drain of its node. Pods that do
    not answer anyway never block a drain (AlwaysAllow).
    """
    written = service.spec.disruption
    if written.min_available is not None:
        bound: Manifest = {"minAvailable": written.min_available}
    else:
        most = written.max_unavailable
        bound = {"maxUnavailable": 1 if most is None else most}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(service),
        "spec": {
            **bound,
            "selector": {"matchLabels": selector(service)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
