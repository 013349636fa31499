"""What we keep of each object that we watch: a few fields in small records, never the object.

Pure: records are made from what the API server sent, and two records of one object are compared
by resourceVersion, which grows with each write of any object of a kind (a decimal number since
Kubernetes 1.0, promised to be comparable since 1.35).
"""

from llmservice_operator.records.loading import Loading, loading
from llmservice_operator.records.names import APPLIED_HASH, FIELD_MANAGER, Key, Ref
from llmservice_operator.records.objects import Child, Resource, child, resource
from llmservice_operator.records.pods import Exit, Pod, Start, pod

__all__ = [
    "APPLIED_HASH",
    "FIELD_MANAGER",
    "Child",
    "Exit",
    "Key",
    "Loading",
    "Pod",
    "Ref",
    "Resource",
    "Start",
    "child",
    "loading",
    "pod",
    "resource",
]
