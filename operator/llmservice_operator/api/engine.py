"""spec.engine: what runs the model, and how it is tuned; or what a proxy stands before."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from llmservice_server.config import RESERVED_ARGS, base_url
from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from llmservice_operator.api.fields import DataKey, ObjectName, matching, named, text
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.part import Part, rule, rules
from llmservice_operator.api.secret_key import ApiKeySecret


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


EngineType = Literal["vllm", "proxy"]

_URL = r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$"
_URL_SENTENCE = (
    "write the address that an OpenAI client takes as its base URL, as https://api.openai.com/v1 "
    "or http://NAME.NAMESPACE.svc/v1, without credentials, ? and #"
)
# The API server looks at the default {} before its own defaults are in it.
_PROXY = "has(self.type) && self.type == 'proxy'"
_NO_UPSTREAMS = "upstreams are for a proxy: write type: proxy, or remove them"
_NEEDS_UPSTREAMS = (
    "a proxy needs servers to stand before: write upstreams: [{url: https://HOST/v1, ...}]"
)
_NO_ARGS = "args are vLLM's flags: remove them, or write type: vllm"
_TWICE = "a name is there twice in one upstream: write each model once"


def _upstream_url(url: str) -> str:
    try:
        return base_url(url)
    except ValueError:
        raise ValueError(_URL_SENTENCE) from None


class UpstreamModel(Part):
    """A model of an upstream."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    """What clients write as `model`."""
    upstream_name: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """What the upstream calls it. Default: the same."""


class Upstream(Part):
    """An OpenAI-compatible server."""

    url: Annotated[str, text(_URL, _URL_SENTENCE, 1024), AfterValidator(_upstream_url)]
    """Its address, as an OpenAI client takes it for its base URL."""

    models: Annotated[tuple[UpstreamModel, ...], named(256)] = ()
    """Which models it is asked for. Several upstreams with one model share its requests. Default:
    all that it lists itself."""

    api_key_secret: ApiKeySecret | None = None
    """The key that it is asked with. Clients' own keys never reach it."""

    weight: Annotated[int, Field(ge=1, le=1000)] = 1
    """Its share of a model's requests, beside the weights of others that have the model."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({model.name for model in self.models}) < len(self.models):
            raise ValueError(_TWICE)
        return self


Seconds = Annotated[int, Field(ge=1, le=86400)]


class Timeouts(Part):
    """How long an upstream may take."""

    connect_seconds: Seconds = 5
    """To accept a connection."""
    first_byte_seconds: Seconds = 300
    """To begin its answer; one that is not streamed begins when it is whole."""
    idle_seconds: Seconds = 120
    """Between two pieces of an answer."""


class Engine(Part):
    """What runs the model."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"!({_PROXY}) || (has(self.upstreams) && self.upstreams.size() > 0)",
                _NEEDS_UPSTREAMS,
                path=".upstreams",
            ),
            rule(
                f"({_PROXY}) || !has(self.upstreams) || self.upstreams.size() == 0",
                _NO_UPSTREAMS,
                path=".upstreams",
            ),
            rule(f"!({_PROXY}) || !has(self.args)", _NO_ARGS, path=".args"),
        )
    )

    type: EngineType = "vllm"
    """The engine: vllm runs a model; proxy stands before other OpenAI-compatible servers, needs no
    GPU, and answers for all their models under one address."""

    upstreams: Annotated[
        tuple[Upstream, ...],
        Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    """The servers behind a proxy. A request goes to one that has its model and the least to do."""

    # No default of the schema: it would be written into what runs a model, too.
    timeouts: Timeouts | None = None
    """How long a proxy waits for an upstream, before it asks another one or says so."""

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

    env: Annotated[tuple[EnvVar, ...], named(64)] = ()
    """Variables of the server's environment."""

    @model_validator(mode="after")
    def _of_one_type(self) -> Self:
        if self.type == "proxy" and not self.upstreams:
            raise ValueError(_NEEDS_UPSTREAMS)
        if self.type != "proxy" and self.upstreams:
            raise ValueError(_NO_UPSTREAMS)
        if self.type == "proxy" and self.args:
            raise ValueError(_NO_ARGS)
        return self
