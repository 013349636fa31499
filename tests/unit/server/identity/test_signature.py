"""Signed requests: made here as the RFC says, and with everything that may be wrong."""

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Literal

import pytest
from devcluster.waiting import ClusterError
from llmservice_server.config import LimitsConfig, Place
from llmservice_server.config.redis import RedisConfig
from llmservice_server.gateway.answers import patience
from llmservice_server.gateway.asgi import App
from llmservice_server.gateway.identity import keys, signature

from dev.redis import Redis
from tests.unit.server.identity.door import PEPPER, ask, door
from tests.unit.server.identity.identity_provider import AUDIENCE, identity_provider
from tests.unit.server.layer import Exchange

_KEY = "a-static-key-of-the-tests"
_AUTH = {"keys": {"variable": "API_KEY"}, "pepper": {"variable": "PEPPER"}, "signed": True}
_SECRET = keys.signing_secret(_KEY, PEPPER.encode())
_BODY = b'{"prompt": "Hello"}'
_COVERED = ("@method", "@path", "content-digest")


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", _KEY)
    monkeypatch.setenv("PEPPER", PEPPER)


def _digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def _signed(
    nonce: str,
    *,
    body: bytes = _BODY,
    covered: tuple[str, ...] = _COVERED,
    secret: str = _SECRET,
    created: float | None = None,
    method: str = "POST",
    path: str = "/v1/completions",
    query: str = "?",
    more: str = ';alg="hmac-sha256"',
) -> dict[str, str]:
    """The headers, by RFC 9421, 2.5."""
    values = {
        "@method": method,
        "@path": path,
        "@query": query,
        "content-digest": _digest(body),
        "@authority": "x",
    }
    at = int(time.time() if created is None else created)
    names = " ".join(f'"{name}"' for name in covered)
    parameters = f'({names});created={at};nonce="{nonce}"{more}'
    lines = [*(f'"{name}": {values[name]}' for name in covered)]
    base = "\n".join([*lines, f'"@signature-params": {parameters}'])
    mac = hmac.new(secret.encode(), base.encode(), hashlib.sha256).digest()
    return {
        "content-digest": _digest(body),
        "signature-input": f"sig={parameters}",
        "signature": f"sig=:{base64.b64encode(mac).decode()}:",
    }


async def _sent(app: App, headers: dict[str, str], *chunks: bytes) -> Exchange:
    return await ask(app, _KEY, *(chunks or (_BODY,)), headers=headers)


async def test_a_signed_request_is_served_once() -> None:
    app = door(_AUTH)
    headers = _signed("nonce-0001")
    assert (await _sent(app, headers)).status == 200
    replayed = await _sent(app, headers)
    assert (replayed.status, replayed.error["code"]) == (401, "invalid_api_key")
    assert "sent before" in replayed.error["message"]
    assert (await _sent(app, _signed("nonce-0002"))).status == 200


async def test_a_key_alone_is_not_enough() -> None:
    refused = await _sent(door(_AUTH), {})
    assert (refused.status, "signed" in refused.error["message"]) == (401, True)
    plain = {name: value for name, value in _AUTH.items() if name != "signed"}
    assert (await _sent(door(plain), {})).status == 200


async def test_another_body_is_refused_before_it_is_whole() -> None:
    app = door(_AUTH)
    for number, chunks in enumerate(
        ((b'{"prompt": "Other"}',), (_BODY, b" "), (_BODY[:5],), (b"",))
    ):
        refused = await _sent(app, _signed(f"nonce-000{number}"), *chunks)
        assert (refused.status, "body" in refused.error["message"]) == (401, True)
    assert (await _sent(app, _signed("nonce-0009"), _BODY[:5], _BODY[5:])).status == 200


async def test_a_body_that_the_signature_does_not_cover_must_be_none() -> None:
    app, covered = door(_AUTH), ("@method", "@path")
    assert (await _sent(app, _signed("nonce-0001", covered=covered))).status == 401
    bare = _signed("nonce-0002", covered=covered, method="GET", path="/v1/models")
    told = await ask(app, _KEY, method="GET", path="/v1/models", headers=bare)
    assert told.status == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "another"},
        {"secret": _KEY},
        {"method": "PUT"},
        {"path": "/v1/chat/completions"},
        {"created": time.time() - 120},
        {"created": time.time() + 3600},
        {"created": 0},
        {"nonce": "short"},
        {"nonce": "x" * 200},
        {"covered": ("@path", "content-digest")},
        {"covered": ("@method", "content-digest")},
        {"covered": ()},
        {"covered": (*_COVERED, "@authority")},
        {"covered": (*_COVERED, "@path")},
        {"more": ';alg="rsa-pss-sha512"'},
        {"more": ';alg="none"'},
        {"more": ";expires=9999999999"},
    ],
)
async def test_a_signature_that_is_not_of_this_request_is_refused(wrong: dict[str, object]) -> None:
    refused = await _sent(door(_AUTH), _signed(**{"nonce": "nonce-0001", **wrong}))  # type: ignore[arg-type]
    assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("signature-input", "sig=()"),
        ("signature-input", 'sig=("@method" "@path"'),
        ("signature-input", 'sig=("@method");created=x;nonce="nonce-0001"'),
        ("signature-input", "a" * 60_000),
        ("signature-input", 'sig=("@method")' + ";a=1" * 10_000),
        ("signature", "sig=::"),
        ("signature", "other=:aGVsbG8=:"),
        ("signature", "sig=:a:"),
        ("signature", "sig=:\xff:"),
        ("content-digest", "sha-512=:aGVsbG8=:"),
        ("content-digest", "sha-256=:a:"),
        ("content-digest", ""),
    ],
)
async def test_headers_that_are_none_of_a_signature_are_refused(header: str, value: str) -> None:
    refused = await _sent(door(_AUTH), {**_signed("nonce-0001"), header: value})
    assert refused.status == 401


async def test_a_query_is_covered_or_refused() -> None:
    app = door(_AUTH)

    async def sent(headers: dict[str, str]) -> int:
        async def with_query(scope: dict[str, object], *rest: object) -> None:
            scope["query_string"] = b"prompt=Hello%20you"
            await app(scope, *rest)  # type: ignore[arg-type]

        told = await ask(with_query, _KEY, _BODY, path="/stream", headers=headers)  # type: ignore[arg-type]
        return told.status

    assert await sent(_signed("nonce-0001", path="/stream")) == 401
    covered = ("@method", "@path", "@query", "content-digest")
    query = "?prompt=Hello%20you"
    good = _signed("nonce-0002", path="/stream", covered=covered, query=query)
    assert await sent(good) == 200
    wrong = _signed("nonce-0003", path="/stream", covered=covered, query="?prompt=x")
    assert await sent(wrong) == 401


async def test_nonces_are_forgotten_after_their_window_and_never_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nonces, now = signature.OwnNonces(), 1000.0
    monkeypatch.setattr(signature, "time", SimpleNamespace(monotonic=lambda: now))
    assert await nonces.fresh(b"a")
    now += 119
    assert not await nonces.fresh(b"a")
    now += 2
    assert await nonces.fresh(b"a")


async def test_more_nonces_than_can_be_kept_are_refused_and_none_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signature, "_NONCES", 3)
    app = door(_AUTH)
    first = _signed("nonce-0000")
    assert (await _sent(app, first)).status == 200
    for number in (1, 2):
        assert (await _sent(app, _signed(f"nonce-000{number}"))).status == 200
    assert (await _sent(app, _signed("nonce-0003"))).status == 503
    assert (await _sent(app, first)).status == 401


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    try:
        server = Redis()
    except ClusterError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(patience, "SECONDS", 5.0)  # a busy machine is no Redis that is down
    try:
        server.start()
        monkeypatch.setenv("REDIS", server.url)
        yield server
    finally:
        server.close()


def _replica(down: Literal["open", "closed"] = "open") -> App:
    redis = RedisConfig(url=Place(variable="REDIS"))
    return door(_AUTH, redis=redis, limits=LimitsConfig(when_redis_is_down=down))


async def test_of_two_replicas_one_serves_what_is_sent_to_both(redis: Redis) -> None:
    one, other = _replica(), _replica("closed")
    first = _signed("nonce-0001")
    assert (await _sent(one, first)).status == 200
    assert (await _sent(other, first)).status == 401
    assert (await _sent(other, _signed("nonce-0002"))).status == 200
    redis.close()
    assert (await _sent(other, _signed("nonce-0003"))).status == 503
    alone = _signed("nonce-0004")
    assert [(await _sent(one, alone)).status for _ in range(2)] == [200, 401]


async def test_a_providers_token_needs_no_signature() -> None:
    with identity_provider() as idp:
        app = door({**_AUTH, "oidc": {"issuer": idp.url, "audience": AUDIENCE}})
        assert (await ask(app, idp.token(), _BODY)).status == 200
        assert (await ask(app, _KEY, _BODY)).status == 401
