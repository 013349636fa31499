"""The termination log: the one sentence about its end that Kubernetes shows with a container.

Promises one line of at most 4096 bytes, the kubelet's own limit, without secrets; never fails the
server over a log that cannot be written.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

_DEFAULT = "/dev/termination-log"
_VARIABLE = "LLMSERVICE_TERMINATION_LOG"
_BYTES = 4096
_SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_SECRET_FLAG = re.compile(r"password|secret|api[-_]?key|token$", re.IGNORECASE)  # no max-tokens
_SECRET_LENGTH = 8  # shorter values would mask ordinary words
_SECRET_SHAPE = re.compile(r"\b(hf_|sk-)[A-Za-z0-9_-]{8,}|(?<=://)[^/@\s]+(?=@)")


def report(sentence: str, environment: Mapping[str, str] = os.environ) -> None:
    """Say why the server ends: one line on standard error and the same in the termination log."""
    line = masked(" ".join(sentence.split()), environment)
    sys.stderr.write(line + "\n")
    log = Path(environment.get(_VARIABLE, _DEFAULT))
    # The kubelet makes the file; where nobody asked for one by name, none is made.
    if _VARIABLE in environment or log.is_file():
        try:
            log.write_text(line.encode()[:_BYTES].decode(errors="ignore"))
        except OSError as error:
            sys.stderr.write(f"{log}: cannot be written: {error.strerror}\n")


def masked(text: str, environment: Mapping[str, str]) -> str:
    """The text without the values of secret variables and without what looks like a key."""
    for name, value in environment.items():
        if _SECRET_NAME.search(name) and len(value) >= _SECRET_LENGTH:
            text = text.replace(value, "***")
    return _SECRET_SHAPE.sub("***", text)


def hidden(value: JsonValue) -> JsonValue:
    """The flags, at any depth, without the values of those whose names look secret."""
    if isinstance(value, list):
        return [hidden(item) for item in value]
    if isinstance(value, dict):
        return {
            name: "***" if _SECRET_FLAG.search(name) else hidden(inner)
            for name, inner in value.items()
        }
    return value
