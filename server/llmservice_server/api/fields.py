"""The fields that several groups have, each with its bounds: what is outside them is refused.

The bounds keep nonsense from the engine; what a model can do is the engine's to refuse.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_CHARACTERS = 4_000_000  # a million tokens of English
_TOKENS = 1_048_576
_NAME = 256

Text = Annotated[str, Field(min_length=1, max_length=_CHARACTERS)]
Prompt = Annotated[Text, Field(description="What the model goes on from.")]
Tokens = Annotated[int, Field(ge=1, le=_TOKENS)]
MaxTokens = Annotated[Tokens, Field(description="Most tokens of the answer.")]
Temperature = Annotated[
    float,
    Field(
        ge=0,
        le=2,
        allow_inf_nan=False,
        description="0 always takes the likeliest token. Default: the model's own.",
    ),
]
TopP = Annotated[
    float,
    Field(
        gt=0,
        le=1,
        allow_inf_nan=False,
        description="The share of likely tokens to choose among. Default: the model's own.",
    ),
]
Stop = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=1000)]],
    Field(max_length=16, description="Texts that end the answer; they are not part of it."),
]
ModelName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=_NAME,
        description="One of GET /v1/models, an adapter too. Default: the server's own.",
    ),
]
Stream = Annotated[bool, Field(description="Server-sent events instead of one answer.")]
DEFAULT_TOKENS = 256


class Body(BaseModel):
    """A request's body. Unknown fields are passed over: older clients send fields of their own."""

    model_config = ConfigDict(extra="ignore")


class Usage(BaseModel):
    """Tokens, as the engine counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
