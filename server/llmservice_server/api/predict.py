"""/predict and /predict/batch: prompts in, texts out, with errors of their own shape.

What fails here is raised in OpenAI's shape as everywhere; the gateway's PredictErrors gives it this
group's, so that what the gateway itself refuses has it too. In a batch a prompt that fails has its
error in its place; where all fail, the first one's error is the answer.
"""

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from llmservice_server.api.caller import departure, passed_on
from llmservice_server.api.errors import GoneError, RefusedError, Route
from llmservice_server.api.fields import (
    DEFAULT_TOKENS,
    Body,
    MaxTokens,
    ModelName,
    Prompt,
    Stop,
    Temperature,
    TopP,
)
from llmservice_server.api.generation import generate, prompt_call
from llmservice_server.api.together import together
from llmservice_server.gateway.context import Context
from llmservice_server.gateway.predict_errors import predict_error
from llmservice_server.gateway.usage import Usage, count
from llmservice_server.loading import date

_MOST_PROMPTS = 128
_AT_ONCE = 32  # of one batch; the engine batches them with everybody's
_PREDICTION: JsonDict = {
    "generated_text": " Paris.",
    "prompt": "The capital of France is",
    "tokens_generated": 2,
    "processing_time": 0.21,
    "model_name": "smollm2",
    "model_version": None,
    "timestamp": "2026-01-31T12:00:00Z",
}
_ERROR: JsonDict = {
    "error": "validation_error",
    "message": "max_length: input should be greater than or equal to 1",
    "details": {"field": "max_length"},
    "timestamp": "2026-01-31T12:00:00Z",
    "request_id": "5f0e1c0a9d6c4b58a8a3f6f7b1f4f0aa",
}


class _Wanted(Body):
    max_length: MaxTokens = DEFAULT_TOKENS
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stop_tokens: Stop | None = None
    model: ModelName | None = None

    def fields(self) -> dict[str, Any]:
        return {
            "max_tokens": self.max_length,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "stop": self.stop_tokens,
            "model": self.model,
        }


class Predict(_Wanted):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {"prompt": _PREDICTION["prompt"], "max_length": 5, "temperature": 0}
        }
    )
    prompt: Prompt


class PredictBatch(_Wanted):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "prompts": ["The capital of France is", "The capital of Italy is"],
                "max_length": 5,
                "temperature": 0,
            }
        }
    )
    prompts: Annotated[list[Prompt], Field(min_length=1, max_length=_MOST_PROMPTS)]


class Prediction(BaseModel):
    model_config = ConfigDict(protected_namespaces=(), json_schema_extra={"example": _PREDICTION})
    generated_text: str
    prompt: str
    tokens_generated: int
    """As the engine counted them."""
    processing_time: float
    """Seconds."""
    model_name: str
    model_version: str | None
    timestamp: str


class PredictError(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": _ERROR})
    error: str
    """validation_error, unauthorized, payload_too_large, service_unavailable, …"""
    message: str
    details: dict[str, Any] | None
    timestamp: str
    request_id: str | None


class Predictions(BaseModel):
    results: list[Prediction | PredictError]
    """One for each prompt, in their order."""
    failed: int
    processing_time: float
    timestamp: str


_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": PredictError, "description": "validation_error"},
    401: {"model": PredictError, "description": "unauthorized"},
    413: {"model": PredictError, "description": "payload_too_large"},
    500: {"model": PredictError, "description": "internal_server_error"},
    503: {"model": PredictError, "description": "service_unavailable; see Retry-After"},
}


def router(context: Context) -> APIRouter:
    made = APIRouter(prefix="/predict", route_class=Route, tags=["predict"], responses=_ERRORS)

    loaded = context.config.model
    revision = loaded.revision if loaded else None

    async def one(
        asked: _Wanted, prompt: str, request: Request, gone: asyncio.Event, part: int | None = None
    ) -> Prediction:
        began = time.perf_counter()
        call = await prompt_call(context, request, prompt, asked.fields())
        done = await generate(context, replace(call, headers=passed_on(request, part)), gone)
        # Nowhere in the answer, and of a batch in no single one.
        count(request.scope, Usage(done.usage.prompt_tokens, done.usage.completion_tokens))
        return Prediction(
            generated_text=done.text,
            prompt=prompt,
            tokens_generated=done.usage.completion_tokens,
            processing_time=round(time.perf_counter() - began, 4),
            model_name=done.model,
            model_version=revision,
            timestamp=date(time.time()),
        )

    @made.post("", summary="Continue a prompt")
    async def predict(asked: Predict, request: Request) -> Prediction:
        async with departure(request.receive) as gone:
            return await one(asked, asked.prompt, request, gone)

    @made.post("/batch", summary="Continue several prompts together")
    async def predict_batch(asked: PredictBatch, request: Request) -> Predictions:
        began = time.perf_counter()
        request_id = request.headers.get("x-request-id")

        async def answered(gone: asyncio.Event, part: int) -> Prediction | RefusedError | None:
            try:
                return await one(asked, asked.prompts[part], request, gone, part)
            except RefusedError as error:
                return error
            except GoneError:
                return None

        async with departure(request.receive) as gone:
            do = partial(answered, gone)
            told = await together(len(asked.prompts), _AT_ONCE, context.turns, do)
        done = [result for result in told if result]
        if len(done) < len(told):
            raise GoneError
        errors = [result for result in done if isinstance(result, RefusedError)]
        if len(errors) == len(done):
            raise errors[0]
        return Predictions(
            results=[
                PredictError.model_validate(predict_error(r.status, r.body(), request_id)[1])
                if isinstance(r, RefusedError)
                else r
                for r in done
            ],
            failed=len(errors),
            processing_time=round(time.perf_counter() - began, 4),
            timestamp=date(time.time()),
        )

    return made
