"""spec.gateway: what stands between the clients and the engine."""

from typing import Annotated

from llmservice_server.config import (
    HOST,
    HOST_FAULT,
    ORIGIN,
    ORIGIN_FAULT,
    ApiConfig,
    HttpConfig,
    LimitsConfig,
)
from pydantic import Field

from llmservice_operator.api.fields import matching, text
from llmservice_operator.api.part import Part

_API, _HTTP, _LIMITS = ApiConfig(), HttpConfig(), LimitsConfig()
_LIST = Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"})
Host = Annotated[str, text(HOST, HOST_FAULT, 253), matching(HOST, HOST_FAULT)]
Origin = Annotated[str, text(ORIGIN, ORIGIN_FAULT, 300), matching(ORIGIN, ORIGIN_FAULT)]


class Cors(Part):
    """Which pages' scripts may call the model from a browser."""

    origins: Annotated[tuple[Origin, ...], _LIST] = ()
    """Origins of the pages, as `https://chat.example.com`; `*` stands for any. Default: none."""


class Limits(Part):
    """How many requests a replica takes. What is beyond is refused with 503 and Retry-After, before
    an answer starts.
    """

    running: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """How many the engine has at once. Default: twice as many as it computes at once
    (`max-num-seqs`), so that its own queue is never empty while anybody waits."""

    waiting: Annotated[int, Field(ge=0, le=1_000_000)] = _LIMITS.waiting
    """How many wait for their turn, beyond those that run."""

    wait_seconds: Annotated[int, Field(ge=0, le=3600)] = _LIMITS.wait_seconds
    """How long a request waits for its turn."""


class Api(Part):
    """Which routes there are beside OpenAI's, by group. A group that is off answers 404."""

    info: bool = _API.info
    """`/` and `/info`: what the server is, and its model."""

    inference: bool = _API.inference
    """`/inference` and `/stream`: a prompt in, text out, whole or as events."""

    api_v1: bool = _API.api_v1
    """`/api/v1/infer` and `/api/v1/model`."""

    chat: bool = _API.chat
    """`/api/chat`: a conversation, cut to what the model holds."""

    predict: bool = _API.predict
    """`/predict` and `/predict/batch`."""

    docs: bool = _API.docs
    """`/docs`, `/redoc` and `/openapi.json`."""

    max_context_messages: Annotated[int, Field(ge=1, le=10_000)] = _API.max_context_messages
    """How many messages of a conversation `/api/chat` gives the model, the newest ones; the
    system's are not counted."""


class Gateway(Part):
    """What stands between the clients and the engine, in each replica."""

    limits: Limits = Limits()
    """How many requests a replica takes."""

    max_body_bytes: Annotated[int, Field(ge=1, le=2**40)] = _HTTP.max_body_bytes
    """The largest body of a request, in bytes. The default has room for OpenAI's largest upload of
    audio. What is larger is refused with 413. A replica holds 16 of that size at once."""

    trusted_hosts: Annotated[tuple[Host, ...], _LIST] = ()
    """The names that clients reach it by, as `api.example.com`, or `*.example.com` for all below.
    A request for another is refused with 400; probes and metrics need none. Default: any, since a
    Service has many."""

    cors: Cors = Cors()
    """Which pages' scripts may call the model from a browser. Default: none."""

    api: Api = Api()
    """Which routes there are beside OpenAI's. Default: all."""
