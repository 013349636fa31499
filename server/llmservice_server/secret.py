"""Secrets, read from where the configuration says that they lie. None is in an error about it."""

import os
from collections.abc import Mapping
from pathlib import Path

from llmservice_server.config import ConfigError, Place


def read(place: Place, field: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text that lies there, without the white space around it.

    Raises:
        ConfigError: it is not there or no text; the field is named, what it holds is not repeated.
    """
    if place.variable is not None:
        name, text = f"the variable {place.variable}", environment.get(place.variable, "")
    else:
        name, text = f"the file {place.file}", _content(place.file or "", field)
    text = text.strip()
    if not text:
        raise ConfigError(f"{field}: the secret that {name} should hold is not there")
    if not text.isascii() or not text.replace("\n", "").isprintable():
        raise ConfigError(f"{field}: {name} holds no secret: it is not printable ASCII")
    return text


def read_line(place: Place, field: str, environment: Mapping[str, str] = os.environ) -> str:
    """The same, where a header has to hold it.

    Raises:
        ConfigError: as `read`, or it is more than one line.
    """
    text = read(place, field, environment)
    if "\n" in text:
        raise ConfigError(f"{field}: the secret is more than one line")
    return text


def _content(file: str, field: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{field}: {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{field}: {file} is not UTF-8") from None
