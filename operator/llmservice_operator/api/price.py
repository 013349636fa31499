"""spec.gateway.prices: what tokens cost, by model."""

from typing import Annotated

from pydantic import Field

from llmservice_operator.api.part import Part, rule, rules

_SENTENCE = "write a number from 0 to 10000, with at most three digits after the point, as 0.15"
# Of what a double holds of such a number the thousandths are off by less than this.
_EXACT = (
    "self >= 0.0 && self <= 10000.0 && "
    "self * 1000.0 - double(int(self * 1000.0 + 0.5)) < 0.0001 && "
    "double(int(self * 1000.0 + 0.5)) - self * 1000.0 < 0.0001"
)
PerMillion = Annotated[float, Field(json_schema_extra=rules(rule(_EXACT, _SENTENCE)))]


class Price(Part):
    """What tokens of one model, or adapter, cost, in whatever currency all prices are written."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    """What clients write as `model`."""

    input_per_million: PerMillion = 0
    """A million tokens of prompts."""

    output_per_million: PerMillion = 0
    """A million tokens of answers."""
