"""How long a server may take to start, by the size of its model."""

from llmservice_operator.api.resource import LLMService
from llmservice_operator.placement.parameters import parameter_count

_BILLION = 10**9
_MINUTE = 60
_UNKNOWN = 30 * _MINUTE
_PROXY = _MINUTE  # it is there in 2 s; the rest is for a node that is busy
_ROLLOUT_SLACK = 10 * _MINUTE


def startup_seconds(service: LLMService) -> int:
    """From the container's start to its first answer: fetching, loading and warming up.

    10 minutes up to 10 billion parameters, 30 up to 70 billion or where the name does not tell,
    60 above; one for a proxy.
    """
    model = service.spec.model
    if model is None:
        return _PROXY
    count = parameter_count(model.uri)
    if count is None:
        return _UNKNOWN
    if count <= 10 * _BILLION:
        return 10 * _MINUTE
    return 30 * _MINUTE if count <= 70 * _BILLION else 60 * _MINUTE


def progress_deadline_seconds(service: LLMService) -> int:
    """Time to start, and on top of it ten minutes to find a node and pull the image."""
    return startup_seconds(service) + _ROLLOUT_SLACK
