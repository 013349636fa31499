"""What is wrong with a file, in one line that names the field, its fault and what to write."""

from collections.abc import Mapping
from typing import cast

from pydantic import ValidationError

_SHOWN = 60  # characters of a wrong value that an error repeats
_MAX_FAULTS = 5  # faults named in one line; the rest is counted


class ConfigError(ValueError):
    """The file cannot be used. Its text is one line: ``field: fault; what to write``."""


def faults(error: ValidationError, variables: Mapping[tuple[str, ...], str]) -> str:
    """Each field that is wrong, by the name of the variable that it comes from if by any."""
    found = error.errors(include_url=False)
    lines: list[str] = []
    for fault in found[:_MAX_FAULTS]:
        field = _name([str(part) for part in fault["loc"]], variables)
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
    return one_line(" · ".join(lines))


def _name(place: list[str], variables: Mapping[tuple[str, ...], str]) -> str:
    for path, variable in variables.items():
        if tuple(place[: len(path)]) == path:
            return ".".join([variable, *place[len(path) :]])
    return ".".join(place)


def one_line(text: str) -> str:
    """The text with each run of white space as one blank."""
    return " ".join(text.split())
