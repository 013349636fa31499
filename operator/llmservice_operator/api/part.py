"""What every part of the resource is made of: a frozen model whose docstrings become the schema.

Promises that a field's docstring is what `kubectl explain` shows, that names are camelCase outside
and snake_case inside, and that unknown fields never make an object unreadable: refusing them is
the API server's business, and an object may be newer than the operator that reads it.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from llmservice_operator.api.manifest import Manifest


class Part(BaseModel):
    """Base of the spec's types."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


def rule(expression: str, message: str = "", *, says: str = "", path: str = "") -> Manifest:
    """A CEL rule of the schema, which the API server holds.

    expression must be true; when it is not, message is the sentence for the user, or says, a CEL
    expression that makes the sentence; path is the field that the refusal names.
    """
    fields = {"rule": expression, "message": message, "messageExpression": says, "fieldPath": path}
    return {key: value for key, value in fields.items() if value}


def required(sentence: str) -> dict[str, Any]:
    """What goes into json_schema_extra of a required field to say what to write in its place.

    The schema's own `required` answers with two words, and stops all rules from being looked at.
    """
    return {"x-missing": sentence}


def rules(*made: Manifest) -> dict[str, Any]:
    """What goes into json_schema_extra for these rules."""
    return {"x-kubernetes-validations": list(made)}
