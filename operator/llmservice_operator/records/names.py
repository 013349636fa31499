"""What objects are called, and what we write on those that are ours."""

from typing import NamedTuple

FIELD_MANAGER = "llmservice-operator"
APPLIED_HASH = "llmservice.io/applied-hash"
"""Annotation on each child: the hash of the manifest that we applied last (see apply.py)."""


class Key(NamedTuple):
    """Which LLMService: the unit of work everywhere in the operator."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Ref(NamedTuple):
    """Which object, of any kind."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
