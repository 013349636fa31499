"""The server's configuration file: the one contract between the operator and the server.

Promises that a file which parses can be served as far as the file alone tells, and that one which
does not is refused with one line that names the field, its fault and what to write. Imports
pydantic and yaml only, reads no file and no environment: the operator imports it to render it.
"""

import json
import re
from typing import Annotated, Literal, Self, cast

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
)
from pydantic.alias_generators import to_camel

from llmservice_server import strict_yaml
from llmservice_server.reserved_args import RESERVED_ARGS

__all__ = [
    "RESERVED_ARGS",
    "ConfigError",
    "DrainConfig",
    "EngineConfig",
    "EngineType",
    "LogLevel",
    "ModelConfig",
    "ServerConfig",
]

EngineType = Literal["vllm"]
LogLevel = Literal["debug", "info", "warning", "error"]

# A vLLM flag without its dashes; a dot reaches into a flag that takes an object.
_FLAG = re.compile(r"[a-z][a-z0-9-]*(\.[A-Za-z0-9_+-]+)*")
_SHOWN = 60  # characters of a wrong value that an error repeats
_MAX_FAULTS = 5  # faults named in one line; the rest is counted


class ConfigError(ValueError):
    """The file cannot be used. Its text is one line: ``field: fault; what to write``."""


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True
    )


class ModelConfig(_Part):
    """Which model: ``source`` is what vLLM loads, a path or a Hugging Face id."""

    uri: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    served_name: Annotated[str, Field(min_length=1)]
    revision: str | None = None


class EngineConfig(_Part):
    """Which engine, and its flags in kebab-case without dashes, as ``max-model-len: 1024``."""

    type: EngineType = "vllm"
    args: dict[str, JsonValue] = Field(default_factory=dict)
    tensor_parallel: Annotated[int, Field(ge=1)] = 1
    pipeline_parallel: Annotated[int, Field(ge=1)] = 1

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


class DrainConfig(_Part):
    """Seconds after SIGTERM: serve on through the grace, then wait for what is in flight."""

    grace_seconds: Annotated[int, Field(ge=0)] = 10
    timeout_seconds: Annotated[int, Field(ge=0)] = 300


class ServerConfig(_Part):
    """The whole file. Immutable; YAML names are camelCase."""

    model: ModelConfig
    engine: EngineConfig = EngineConfig()
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    drain: DrainConfig = DrainConfig()
    log_level: LogLevel = "info"

    def to_yaml(self) -> str:
        """The file, every field written out, the same text for the same configuration."""
        return yaml.dump(self.model_dump(by_alias=True, mode="json"), Dumper=yaml.CSafeDumper)

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Parse a file's text.

        Raises:
            ConfigError: one line, naming each field that is wrong.
        """
        try:
            document: object = strict_yaml.load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"not YAML: {_one_line(str(error))}") from None
        if not isinstance(document, dict):
            raise ConfigError("not a mapping; write model:, engine:, port:, drain: and logLevel:")
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise ConfigError(_faults(error)) from None


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


def _faults(error: ValidationError) -> str:
    found = error.errors(include_url=False)
    lines: list[str] = []
    for fault in found[:_MAX_FAULTS]:
        field = ".".join(str(part) for part in fault["loc"])
        kind, message = fault["type"], fault["msg"]
        if kind == "missing":
            lines.append(f"{field}: is missing; write it")
        elif kind == "extra_forbidden":
            lines.append(f"{field}: unknown field; remove it or correct its name")
        elif kind == "value_error":
            lines.append(f"{field}{message.removeprefix('Value error, ')}")
        else:
            value = repr(cast("object", fault["input"]))
            shown = value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
            lines.append(f"{field}: {message[0].lower()}{message[1:]}, not {shown}")
    if len(found) > _MAX_FAULTS:
        lines.append(f"and {len(found) - _MAX_FAULTS} more")
    return _one_line(" · ".join(lines))


def _one_line(text: str) -> str:
    return " ".join(text.split())
