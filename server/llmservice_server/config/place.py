"""Where a secret lies. The secret itself is nowhere in the file, and in no error about it."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from llmservice_server.config.part import Part

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError(": write the name of an environment variable, as OPENAI_API_KEY")
    return name


def _no_secret(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(": write {variable: NAME} or {file: PATH}, never the secret itself")  # noqa: TRY004
    return value


class Place(Part):
    """In an environment variable, or in a file that is mounted."""

    variable: Annotated[str, AfterValidator(_variable)] | None = None
    file: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.variable is None) == (self.file is None):
            raise ValueError(": write one of variable and file, never the secret itself")
        return self


SecretPlace = Annotated[Place | None, BeforeValidator(_no_secret)]
