"""The resource: its types, defaults, rules, conditions, and the CRD made of them. No I/O."""

from llmservice_operator.api.invalid import InvalidSpec
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.resource import LLMService, Metadata
from llmservice_operator.api.spec import LLMServiceSpec

__all__ = ["InvalidSpec", "LLMService", "LLMServiceSpec", "Manifest", "Metadata"]
