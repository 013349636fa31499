"""What tokens cost, by model; in whatever currency the prices are written in."""

from typing import Annotated

from pydantic import AfterValidator, Field

from llmservice_server.config.part import Part

_THOUSANDTHS = 1000


def _exact(price: float) -> float:
    if abs(price * _THOUSANDTHS - round(price * _THOUSANDTHS)) > 1e-6:
        raise ValueError(": has more than three digits after the point; round it")
    return price


PerMillion = Annotated[float, Field(ge=0, le=10_000), AfterValidator(_exact)]


class Price(Part):
    """Per million tokens, in thousandths at the finest. Another model's cost nothing."""

    model: Annotated[str, Field(min_length=1)]
    input_per_million: PerMillion = 0
    output_per_million: PerMillion = 0

    def of(self, input_tokens: int, output_tokens: int) -> int:
        """In billionths, exactly: a thousandth a million."""
        read = input_tokens * round(self.input_per_million * _THOUSANDTHS)
        return read + output_tokens * round(self.output_per_million * _THOUSANDTHS)
