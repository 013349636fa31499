"""The upstreams' keys, read once from where the configuration says that they lie."""

import os
from collections.abc import Mapping
from pathlib import Path

from llmservice_server.config import ApiKey
from llmservice_server.engines.failures import EngineConfigError


def read(place: ApiKey | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The key, or None where none is named.

    Raises:
        EngineConfigError: it is not there, or no header can hold it; it is not repeated.
    """
    if place is None:
        return None
    if place.variable is not None:
        name, key = f"the variable {place.variable}", environment.get(place.variable, "")
    else:
        name, key = f"the file {place.file}", _content(place.file or "")
    key = key.strip()
    if not key:
        raise EngineConfigError(f"engine.upstreams: the key that {name} should hold is not there")
    if not key.isascii() or not key.isprintable():
        raise EngineConfigError(f"engine.upstreams: {name} holds no key: it is not printable ASCII")
    return key


def _content(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EngineConfigError(f"engine.upstreams: {file} cannot be read: {error}") from None
