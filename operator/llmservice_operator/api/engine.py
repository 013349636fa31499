"""spec.engine: what runs the model, and how it is tuned."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from llmservice_server.config import RESERVED_ARGS
from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from llmservice_operator.api.fields import DataKey, ObjectName, matching, text
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.part import Part, rule, rules


def _reserved() -> Manifest:
    """A property for each flag that the operator sets, in both spellings, which takes no value.

    A value may be of any type, and CEL rules need one type; an enumeration whose only member is
    the sentence refuses values of every type, and the refusal quotes the member.
    """
    refused: Manifest = {}
    for flag, instead in sorted(RESERVED_ARGS.items()):
        node = {
            "description": "Set by the operator.",
            "x-kubernetes-preserve-unknown-fields": True,
            "enum": [f"none here: the server sets it; {instead}"],
        }
        refused[flag] = node
        refused[flag.replace("-", "_")] = node
    return refused


_ARGS_SCHEMA: Manifest = {
    "type": "object",
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": _reserved(),
}
_ENV_NAME = r"^[A-Za-z_][-._A-Za-z0-9]*$"
_ENV_SENTENCE = "not the name of a variable: write letters, digits and _, starting with no digit"
# Names whose values are secrets; the server masks them in its last words.
_MASKED = r"(?i)(TOKEN|KEY|SECRET|PASSWORD|CREDENTIAL)$"
_MASKED_SENTENCE = (
    "a secret written here is readable by everyone who can read this resource: put it into a "
    "Secret and write valueFrom.secretKeyRef, or for HF_TOKEN name the Secret in "
    "model.credentialsSecret"
)
_IMAGE = r"^[A-Za-z0-9][-._:/@A-Za-z0-9]*$"
_IMAGE_SENTENCE = "not an image: write REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST"


class KeyRef(Part):
    """A key of a Secret or ConfigMap of the same namespace."""

    name: ObjectName
    """Name of the object."""
    key: DataKey
    """Which of its keys."""
    optional: bool | None = None
    """Whether the pod may start without it."""


class FieldRef(Part):
    """A field of the pod."""

    field_path: Annotated[str, Field(min_length=1, max_length=253)]
    """As status.podIP or metadata.name."""


class EnvSource(Part):
    """Where a variable's value comes from; write one of them."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)]"
                ".filter(x, x).size() == 1",
                "write one of secretKeyRef, configMapKeyRef and fieldRef",
            )
        )
    )

    secret_key_ref: KeyRef | None = None
    """A key of a Secret."""
    config_map_key_ref: KeyRef | None = None
    """A key of a ConfigMap."""
    field_ref: FieldRef | None = None
    """A field of the pod."""


class EnvVar(Part):
    """A variable of the server's environment."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!(has(self.value) && has(self.valueFrom))",
                "write value or valueFrom, not both",
            ),
            rule(
                f"!(has(self.value) && self.name.matches(r'{_MASKED}'))",
                _MASKED_SENTENCE,
                path=".value",
            ),
        )
    )

    name: Annotated[str, text(_ENV_NAME, _ENV_SENTENCE, 128), matching(_ENV_NAME, _ENV_SENTENCE)]
    """Name of the variable. It wins over one that the operator sets itself."""
    value: Annotated[str, Field(max_length=4096)] | None = None
    """Its value. Refused for names that end in TOKEN, KEY, SECRET, PASSWORD or CREDENTIAL: secrets
    belong into valueFrom."""
    value_from: EnvSource | None = None
    """Where its value comes from."""

    @model_validator(mode="after")
    def _no_secret(self) -> Self:
        if self.value is not None and re.search(_MASKED, self.name):
            raise ValueError(_MASKED_SENTENCE)
        return self


class Engine(Part):
    """What runs the model."""

    type: Literal["vllm"] = "vllm"
    """The engine; vllm is the one that there is."""

    image: (
        Annotated[str, text(_IMAGE, _IMAGE_SENTENCE, 512), matching(_IMAGE, _IMAGE_SENTENCE)] | None
    ) = None
    """Image of the server, or one built from it, for the pod runs its command llmservice-server.
    Default: the one that the operator was installed with."""

    args: Annotated[Mapping[str, Any], WithJsonSchema(_ARGS_SCHEMA)] = Field(
        default_factory=dict[str, Any]
    )
    """Flags of the engine without their dashes, as `max-model-len: 8192`; snake_case is read too.
    true gives the bare flag and false its --no- form, a list repeats its values, an object becomes
    JSON. The fields listed below are set by the operator and refused here; each says what to write
    instead. See https://docs.vllm.ai/en/stable/configuration/engine_args.html for the others."""

    env: Annotated[
        tuple[EnvVar, ...],
        Field(
            max_length=64,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = ()
    """Variables of the server's environment."""
