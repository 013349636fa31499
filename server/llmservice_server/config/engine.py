"""Which model, and which engine with which flags."""

import json
import re
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from llmservice_server.config.part import Part
from llmservice_server.config.reserved_args import RESERVED_ARGS
from llmservice_server.config.upstream import TimeoutsConfig, UpstreamConfig

EngineType = Literal["vllm", "proxy"]

# A vLLM flag without its dashes; a dot reaches into a flag that takes an object.
_FLAG = re.compile(r"[a-z][a-z0-9-]*(\.[A-Za-z0-9_+-]+)*")


class ModelConfig(Part):
    """Which model: ``source`` is what vLLM loads, a path or a Hugging Face id."""

    uri: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    served_name: Annotated[str, Field(min_length=1)]
    revision: str | None = None


class EngineConfig(Part):
    """Which engine; vLLM's flags in kebab-case without dashes, or what the proxy stands before."""

    type: EngineType = "vllm"
    args: dict[str, JsonValue] = Field(default_factory=dict)
    tensor_parallel: Annotated[int, Field(ge=1)] = 1
    pipeline_parallel: Annotated[int, Field(ge=1)] = 1
    upstreams: Annotated[tuple[UpstreamConfig, ...], Field(strict=False)] = ()
    timeouts: TimeoutsConfig = TimeoutsConfig()

    @model_validator(mode="after")
    def _of_one_type(self) -> Self:
        if self.type == "proxy" and not self.upstreams:
            raise ValueError(".upstreams: is missing; write upstreams: [{url: https://HOST/v1}]")
        if self.type == "proxy" and self.args:
            raise ValueError(".args: are vLLM's flags; remove them, or write type: vllm")
        if self.type != "proxy" and self.upstreams:
            raise ValueError(".upstreams: are for the proxy; write type: proxy, or remove them")
        return self

    @field_validator("args")
    @classmethod
    def _usable_flags(cls, args: dict[str, JsonValue]) -> dict[str, JsonValue]:
        flags: dict[str, JsonValue] = {}
        for name, value in args.items():
            flag = _kebab(name)
            if not _FLAG.fullmatch(flag):
                raise ValueError(_at(name, "not a vLLM flag; write it without leading dashes"))
            if why := _reserved(flag):
                raise ValueError(_at(name, why))
            if value is None:
                raise ValueError(_at(name, "has no value; true gives the bare flag"))
            if not _finite(value):
                raise ValueError(_at(name, "holds a number that JSON has not; write a finite one"))
            if "." not in flag and _dashed(value):
                raise ValueError(
                    _at(name, "an item would pass for a flag; write it without dashes")
                )
            if flag in flags:
                raise ValueError(_at(name, "is given twice; write it once, in kebab-case"))
            flags[flag] = value
        return flags


def _kebab(name: str) -> str:
    flag, dot, field = name.partition(".")
    return flag.replace("_", "-") + dot + field


def _reserved(flag: str) -> str | None:
    """Why the flag is refused. argparse takes any unique beginning of a flag for the flag."""
    flag = flag.partition(".")[0].removeprefix("no-")
    for name, instead in RESERVED_ARGS.items():
        if name == flag:
            return f"the server sets {name} itself; {instead}"
    for name, instead in RESERVED_ARGS.items():
        if name.startswith(flag):
            return f"short for {name}, which the server sets itself; {instead}"
    return None


def _finite(value: JsonValue) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def _dashed(value: JsonValue) -> bool:
    """Whether it is a list, whose items are arguments of their own, with one like a flag."""
    return isinstance(value, list) and any(
        isinstance(item, str) and item.startswith("-") for item in value
    )


def _at(name: str, fault: str) -> str:
    return f".{name}: {fault}"
