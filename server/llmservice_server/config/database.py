"""Where callers, usage and history are kept: which database, and where its address lies.

The address holds a password, so that it is nowhere in the file.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from llmservice_server.config.part import Part
from llmservice_server.config.place import SecretPlace


class DatabaseConfig(Part):
    """``url``: where the address of a PostgreSQL lies, as ``postgresql://USER:PASSWORD@HOST/NAME``.

    ``sqlite``: a file of a SQLite, which one server alone uses.
    """

    url: SecretPlace = None
    sqlite: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.url is None) == (self.sqlite is None):
            raise ValueError(": write one of url: {variable: DATABASE_URL} and sqlite: PATH")
        return self
