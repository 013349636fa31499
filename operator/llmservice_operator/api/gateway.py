"""spec.gateway: what stands between the clients and the engine."""

from typing import Annotated, Literal

from llmservice_server.config import (
    HOST,
    HOST_FAULT,
    ORIGIN,
    ORIGIN_FAULT,
    ApiConfig,
    HttpConfig,
    LimitsConfig,
)
from pydantic import ConfigDict, Field

from llmservice_operator.api.auth import Auth
from llmservice_operator.api.fields import matching, named, text
from llmservice_operator.api.kept import Cache, History, Idempotency
from llmservice_operator.api.part import Part, rule, rules
from llmservice_operator.api.plan import Quotas, Rates
from llmservice_operator.api.price import Price
from llmservice_operator.api.secret_key import SecretKey
from llmservice_operator.api.state import Database, Redis

_API, _HTTP, _LIMITS = ApiConfig(), HttpConfig(), LimitsConfig()
_LIST = Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"})
Host = Annotated[str, text(HOST, HOST_FAULT, 253), matching(HOST, HOST_FAULT)]
Origin = Annotated[str, text(ORIGIN, ORIGIN_FAULT, 300), matching(ORIGIN, ORIGIN_FAULT)]


class Cors(Part):
    """Which pages' scripts may call the model from a browser."""

    origins: Annotated[tuple[Origin, ...], _LIST] = ()
    """Origins of the pages, as `https://chat.example.com`; `*` stands for any. Default: none."""


class ModelRates(Part):
    """What all callers of one model, or adapter, may ask of it together."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    """What clients write as `model`."""

    rates: Rates
    """How much that is."""


class Limits(Part):
    """How many requests a replica takes, beyond which it refuses with 503, and how much callers may
    ask for, beyond which they are refused with 429; both with Retry-After, before an answer starts.
    What keys, users and plans may ask for is in `auth.plans`.
    """

    running: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """How many the engine has at once. Default: twice as many as it computes at once
    (`max-num-seqs`), so that its own queue is never empty while anybody waits."""

    waiting: Annotated[int, Field(ge=0, le=1_000_000)] = _LIMITS.waiting
    """How many wait for their turn, beyond those that run."""

    wait_seconds: Annotated[int, Field(ge=0, le=3600)] = _LIMITS.wait_seconds
    """How long a request waits for its turn."""

    anonymous: Rates | None = None
    """What each address may ask for without a key, where `auth.anonymous` lets it. Default: 10
    requests a minute."""

    per_address: Rates | None = None
    """What each address may ask for, whoever asks. Default: no limit."""

    models: Annotated[tuple[ModelRates, ...], named(64)] = ()
    """What all callers of a model may ask of it together. Default: no limit."""

    # No default of the schema: it would be written where there are no limits and no Redis.
    when_redis_is_down: Literal["open", "closed"] | None = None
    """What holds while Redis does not answer: each replica counts for itself (open), or refuses
    requests that have a limit with 503 (closed). Default: open."""


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


_STORED = "has(self.auth) && has(self.auth.stored) && self.auth.stored"
_MONTHLY = (
    "has(self.auth) && has(self.auth.plans) && "
    "self.auth.plans.exists(p, has(p.monthlyRequests) || has(p.monthlyTokens))"
)
_NOWHERE = (
    "stored users and keys, quotas and history need a database: write database: {urlSecret: {name: "
    "SECRET}} for a PostgreSQL, or {sqlite: {claimName: CLAIM}} for one replica with a volume of "
    "its own"
)


class Gateway(Part):
    """What stands between the clients and the engine, in each replica."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"has(self.database) || !(({_STORED}) || ({_MONTHLY}) || has(self.quotas) || "
                "has(self.history))",
                _NOWHERE,
                path=".database",
            ),
            rule(
                "!has(self.quotas) || has(self.auth)",
                "quotas are those of users: write auth, which says who they are",
                path=".quotas",
            ),
        )
    )

    # Without a default: that there is one closes the endpoint.
    auth: Auth | None = None
    """Who may ask. Default: everybody who reaches the Service."""

    limits: Limits = Limits()
    """How many requests a replica takes, and how much callers may ask for."""

    quotas: Quotas | None = None
    """What each user may use in a month. Default: what the plans say."""

    prices: Annotated[
        tuple[Price, ...],
        Field(
            max_length=256,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["model"],
            },
        ),
    ] = ()
    """What tokens cost, by which usage is billed. Default: nothing, and so does a model that is not
    among them."""

    # Without defaults: that there is one makes the server keep something.
    cache: Cache | None = None
    """Answers that are given again to the same question. Default: none."""

    idempotency: Idempotency | None = None
    """Answers that are kept for requests which come again by their Idempotency-Key. Default:
    none."""

    history: History | None = None
    """What is kept of requests and conversations. Default: nothing."""

    redis: Redis | None = None
    """The Redis in which all replicas count together. Default: none, and each counts for itself."""

    database: Database | None = None
    """Where users, keys, usage and history are kept. Default: nowhere."""

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

    @property
    def secrets(self) -> dict[str, SecretKey]:
        """What the server reads of Secrets that the spec names, by the variable that holds it."""
        auth, redis, database = self.auth, self.redis, self.database
        named = {
            "API_KEY": auth and auth.keys_secret,
            "KEY_PEPPER": auth and auth.pepper_secret,
            "REDIS_URL": redis and redis.url_secret,
            "DATABASE_URL": database and database.url_secret,
        }
        return {variable: secret for variable, secret in named.items() if secret}

    @property
    def claim(self) -> str | None:
        """Of the volume with a SQLite."""
        sqlite = self.database and self.database.sqlite
        return sqlite.claim_name if sqlite else None

    @property
    def runs_redis(self) -> bool:
        """Is there a Redis of its own?"""
        return bool(self.redis and self.redis.managed)
