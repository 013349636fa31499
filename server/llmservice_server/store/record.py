"""What the store's facades give: immutable, and as JSON spelled as the configuration file is."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Record(BaseModel):
    """One row as the rest of the server sees it."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)
