"""What was observed → the status to show. Pure.

Promises: the same observation gives the same status, so that an equal one need not be written;
lastTransitionTime moves only when a condition's status does; messages are sentences with numbers.
"""

from llmservice_operator.status.children import complains
from llmservice_operator.status.compute import Situation, compute, due, loads
from llmservice_operator.status.patch import beside_others, is_news, merge_patch, transitions

__all__ = [
    "Situation",
    "beside_others",
    "complains",
    "compute",
    "due",
    "is_news",
    "loads",
    "merge_patch",
    "transitions",
]
