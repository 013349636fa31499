"""The routes beside OpenAI's, by group; one that is off answers 404, as an unknown route does."""

from typing import Annotated

from pydantic import Field

from llmservice_server.config.part import Part


class ApiConfig(Part):
    """Which groups are on, and how much of a conversation /api/chat sends to the model."""

    info: bool = True  # GET /, GET /info
    inference: bool = True  # /inference, /stream
    api_v1: bool = True  # /api/v1/infer, /api/v1/model
    chat: bool = True  # /api/chat
    predict: bool = True  # /predict, /predict/batch
    docs: bool = True  # /docs, /redoc, /openapi.json
    max_context_messages: Annotated[int, Field(ge=1, le=10_000)] = 20
