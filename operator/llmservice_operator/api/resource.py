"""LLMService as the API server keeps it, and how one is read."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from llmservice_operator.api.invalid import InvalidSpec
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.part import Part
from llmservice_operator.api.spec import LLMServiceSpec

GROUP = "llmservice.io"
VERSION = "v1alpha1"
KIND = "LLMService"

_SHOWN = 5  # of a proxy's models in the status
_SENTENCES = {
    "missing": "is missing: write it",
    "extra_forbidden": "unknown field: remove it or correct its name",
}


class Metadata(Part):
    """The fields of metadata that the operator reads."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0


class LLMService(BaseModel):
    """One model server with its children. Immutable."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    metadata: Metadata
    spec: LLMServiceSpec

    @classmethod
    def parse(cls, obj: Manifest, unknown: Literal["ignore", "forbid"] = "ignore") -> Self:
        """The resource of an object; unknown says what to do with fields that no type has.

        Raises:
            InvalidSpec: the first fault, with its field; values are not repeated, since a variable
                may hold a secret.
        """
        try:
            return cls.model_validate(obj, extra=unknown)
        except ValidationError as error:
            fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in fault["loc"]) or "the object"
        sentence = _SENTENCES.get(fault["type"], fault["msg"].removeprefix("Value error, "))
        raise InvalidSpec(f"{field}: {sentence}")

    @property
    def served_name(self) -> str:
        """What clients write as `model`; of a proxy the names that are written."""
        if self.spec.model is None:
            named = list(
                dict.fromkeys(m.name for u in self.spec.engine.upstreams for m in u.models)
            )
            more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
            return ", ".join(named[:_SHOWN]) + more
        return self.spec.model.served_name or self.metadata.name
