"""Every field of the file is an environment variable too, and the variable wins.

Its own name is ``LLMSERVICE_`` and the field's path, as ``LLMSERVICE_DRAIN_GRACE_SECONDS``; some
fields also have the name that other servers gave them, in ``USUAL``. A text, a number or a flag is
written as it is, anything else as YAML or JSON; an empty variable is none. Pure: reads no
environment but the mapping that it is given.
"""

from collections.abc import Callable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, cast, get_args, get_origin

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from llmservice_server.config import strict_yaml

PREFIX = "LLMSERVICE_"
Path = tuple[str, ...]


class Usual(NamedTuple):
    """A field by another server's name; ``reads`` makes our text of theirs."""

    path: Path
    reads: Callable[[str], str] = str


def _level(text: str) -> str:
    return {"warn": "warning", "critical": "error", "fatal": "error"}.get(
        text.lower(), text.lower()
    )


def _itself(name: str) -> Callable[[str], str]:
    """Of a secret only the variable's name enters the configuration."""
    return lambda _: name


USUAL: Mapping[str, Usual] = {
    "API_KEY": Usual(("auth", "keys", "variable"), _itself("API_KEY")),
    "DATABASE_URL": Usual(("database", "url", "variable"), _itself("DATABASE_URL")),
    "ENVIRONMENT": Usual(("environment",)),
    "LOG_LEVEL": Usual(("logLevel",), _level),
    "MAX_CONTEXT_MESSAGES": Usual(("api", "maxContextMessages")),
    "MODEL_NAME": Usual(("model", "servedName")),
    "OTEL_ENABLED": Usual(("tracing", "enabled")),
    "OTEL_EXPORTER_OTLP_ENDPOINT": Usual(("tracing", "otlpEndpoint")),
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": Usual(("tracing", "tracesEndpoint")),
    "RATE_LIMIT_ENABLED": Usual(("limits", "enabled")),
    "REDIS_URL": Usual(("redis", "url", "variable"), _itself("REDIS_URL")),
}

# Names that other servers read and this version does not: who sets one is told what it does not do.
UNREAD: Mapping[str, str] = {
    "MLFLOW_TRACKING_URI": "no model comes from MLflow's registry, and MLflow is told nothing",
}
_OFF = {"", "0", "false", "no", "off"}


def unread(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that asks for what this version does not do."""
    asked = [name for name in UNREAD if environment.get(name, "").lower() not in _OFF]
    return [f"{name} is ignored: {UNREAD[name]}" for name in asked]


class Overlaid(NamedTuple):
    """A document with the variables in it, and which variable each changed field comes from."""

    document: dict[str, Any]
    variables: Mapping[Path, str]


def overlaid(
    document: Mapping[str, Any], part: type[BaseModel], environment: Mapping[str, str]
) -> Overlaid:
    """The document of such a part with what the environment says in place of what it said."""
    result = cast("dict[str, Any]", _copy(document))
    variables: dict[Path, str] = {}
    known = {path: field for path, _, field in fields(part)}
    given = [
        *((own, path, str) for path, own, _ in fields(part)),  # first, where they win
        *((name, usual.path, usual.reads) for name, usual in USUAL.items()),
    ]
    for name, path, reads in given:
        # A name alone makes no model: a proxy has none.
        of_none = name == "MODEL_NAME" and result.get("model") is None
        wanted = path in known and path not in variables and not of_none
        if wanted and (text := environment.get(name)):
            _put(result, path, _value(known[path], reads(text)))
            variables[path] = name
    return Overlaid(result, variables)


def fields(
    part: type[BaseModel], above: Path = (), prefix: str = PREFIX
) -> Iterator[tuple[Path, str, FieldInfo]]:
    """Each field that is no part itself: its path in the file, its variable, and its type."""
    for name, field in part.model_fields.items():
        path, variable = (*above, field.alias or name), f"{prefix}{name.upper()}"
        if inner := _part(field.annotation):
            yield from fields(inner, path, f"{variable}_")
        else:
            yield path, variable, field


def _part(annotation: object) -> type[BaseModel] | None:
    """The part that a field holds, also one that may be left out."""
    union = get_origin(annotation) in {Union, UnionType}
    kinds = (
        [kind for kind in get_args(annotation) if kind is not NoneType] if union else [annotation]
    )
    kind = kinds[0] if len(kinds) == 1 else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _value(field: FieldInfo, text: str) -> object:
    """What the text is as a text, number or flag; else as YAML, whatever becomes of it."""
    try:
        return TypeAdapter[object](cast("Any", field.annotation)).validate_strings(text)
    except ValidationError:
        pass
    try:
        return strict_yaml.load(text)
    except yaml.YAMLError:
        return text


def _put(document: dict[str, Any], path: Path, value: object) -> None:
    for name in path[:-1]:
        if not isinstance(document.get(name), dict):
            document[name] = {}
        document = document[name]
    document[path[-1]] = value


def _copy(value: object) -> object:
    """Of the mappings only, in which the variables are put."""
    if not isinstance(value, Mapping):
        return value
    return {name: _copy(inner) for name, inner in cast("Mapping[str, object]", value).items()}
