"""Tokens of an identity provider: real signatures, its keys as it changes them, and its faults."""

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from jwt.algorithms import RSAAlgorithm
from llmservice_server.gateway.asgi import App
from llmservice_server.gateway.identity import callers, oidc, provider

from tests.unit.server.identity.door import ask, door
from tests.unit.server.identity.identity_provider import (
    AUDIENCE,
    IdentityProvider,
    identity_provider,
    public,
    signing_key,
)


class _Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def time(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def idp() -> Iterator[IdentityProvider]:
    with identity_provider() as made:
        yield made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    """Of the provider's documents; that of tokens is PyJWT's, and real."""
    made = _Clock()
    monkeypatch.setattr(provider, "time", SimpleNamespace(monotonic=made.monotonic))
    return made


def _door(idp: IdentityProvider, **more: object) -> App:
    named = {"issuer": idp.url, "audience": AUDIENCE, **more}
    plans = [{"name": "paid"}, {"name": "free"}]
    return door({"oidc": named, "plans": plans, "defaultPlan": "free"})


def _part(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512"]
)
async def test_a_token_by_each_algorithm_is_its_users(
    idp: IdentityProvider, algorithm: str
) -> None:
    idp.keys = [public(f"k-{algorithm}", algorithm)]
    told = await ask(_door(idp), idp.token(f"k-{algorithm}", algorithm))
    assert told.status == 200
    assert (told.error["user"], told.error["plan"]) == ("oidc:ada", "free")
    assert told.error["admin"] is False


async def test_many_requests_with_one_token_are_one_question_and_one_check(
    idp: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, token = _door(idp), idp.token()
    assert (await ask(app, token)).status == 200

    def again(*_: object, **__: object) -> None:
        raise AssertionError("checked twice")

    monkeypatch.setattr(jwt, "decode", again)
    assert (await ask(app, token)).status == 200
    assert idp.asked == ["/.well-known/openid-configuration", "/jwks"]


async def test_claims_name_user_plan_and_admins(idp: IdentityProvider) -> None:
    app = _door(idp, userClaim="email", planClaim="groups", adminClaim="is_admin")

    async def told(**claims: object) -> dict[str, Any]:
        return (await ask(app, idp.token(email="a@b.c", **claims))).error

    assert (await told())["plan"] == "free"
    assert (await told(groups="paid"))["plan"] == "paid"
    assert (await told(groups=["staff", "paid"]))["plan"] == "paid"
    assert (await told(groups=["staff"]))["plan"] == "free"
    assert (await told(is_admin=True))["admin"] is True
    for no in ("true", 1, False, ["admin"]):
        assert (await told(is_admin=no))["admin"] is False
    for wrong in ({"groups": "none"}, {"groups": 7}, {"groups": {}}):
        refused = await ask(app, idp.token(email="a@b.c", **wrong))
        assert (refused.status, "groups names no plan" in refused.error["message"]) == (403, True)
    for user in (None, "", 7, ["a"], "x" * 300, "a\nb", "a\x1b[0m"):
        refused = await ask(app, idp.token(email=user))
        assert (refused.status, "email" in refused.error["message"]) == (403, True)


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"aud": "another"}, "audience"),
        ({"aud": ["another"]}, "audience"),
        ({"aud": None}, "not good"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"iss": None}, "not good"),
        ({"exp": None}, "not good"),
        ({"exp": "soon"}, "not good"),
        ({"exp": 10**400}, "not good"),
        ({"sub": 7}, "not good"),
    ],
)
async def test_a_token_with_other_claims_is_refused(
    idp: IdentityProvider, claims: dict[str, object], says: str
) -> None:
    refused = await ask(_door(idp), idp.token(**claims))
    assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")
    assert says in refused.error["message"]


@pytest.mark.parametrize(
    ("claim", "seconds", "status"),
    [
        ("exp", -50, 200),
        ("exp", -70, 401),
        ("nbf", 50, 200),
        ("nbf", 70, 401),
        ("iat", 50, 200),
        ("iat", 70, 401),
    ],
)
async def test_clocks_may_differ_by_a_minute(
    idp: IdentityProvider, claim: str, seconds: int, status: int
) -> None:
    token = idp.token(**{claim: int(time.time()) + seconds})
    assert (await ask(_door(idp), token)).status == status


async def test_a_token_that_is_remembered_is_checked_again_when_its_time_is_over(
    idp: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, token = _door(idp), idp.token()
    assert (await ask(app, token)).status == 200

    def over(*_: object, **__: object) -> None:
        raise jwt.ExpiredSignatureError

    monkeypatch.setattr(jwt, "decode", over)
    assert (await ask(app, token)).status == 200
    later = SimpleNamespace(time=lambda: time.time() + 361, monotonic=time.monotonic)
    monkeypatch.setattr(callers, "time", later)
    refused = await ask(app, token)
    assert (refused.status, "has expired" in refused.error["message"]) == (401, True)


async def test_no_signature_and_one_by_a_public_key_as_a_secret_are_refused(
    idp: IdentityProvider,
) -> None:
    app, good = _door(idp), idp.token()
    claims = good.split(".")[1]
    pem = (
        signing_key("one")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for none in ("none", "None", "NONE", "", None, 7, ["RS256"]):
        head = _part({"alg": none, "kid": "one", "typ": "JWT"})
        for signature in ("", good.split(".")[2]):
            assert (await ask(app, f"{head}.{claims}.{signature}", address="a")).status in {
                401,
                429,
            }
    for algorithm, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
        signed = f"{_part({'alg': algorithm, 'kid': 'one'})}.{claims}"
        for secret in (pem, pem.strip(), b""):
            mac = hmac.new(secret, signed.encode(), digest).digest()
            forged = f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
            assert (await ask(app, forged)).status == 401
    assert (await ask(app, good)).status == 200


async def test_a_key_signs_by_its_own_algorithms_only(idp: IdentityProvider) -> None:
    idp.keys = [public("one", "RS256")]
    other = jwt.encode(
        jwt.decode(idp.token(), options={"verify_signature": False}),
        signing_key("one"),
        "PS256",
        {"kid": "one"},
    )
    assert (await ask(_door(idp), other)).status == 401
    idp.keys = [public("one", "RS256", alg=None)]
    assert (await ask(_door(idp), other)).status == 200


@pytest.mark.parametrize(
    "header",
    [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}],
)
async def test_what_a_token_demands_and_nobody_understands_is_refused(
    idp: IdentityProvider, header: dict[str, object]
) -> None:
    claims = idp.token().split(".")[1]
    key = signing_key("one")
    head = _part({"alg": "RS256", "kid": "one", **header})
    signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(f"{head}.{claims}".encode(), key)
    text = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    assert (await ask(_door(idp), f"{head}.{claims}.{text}")).status == 401


async def test_a_key_that_a_token_brings_along_is_not_its_providers(idp: IdentityProvider) -> None:
    claims = jwt.decode(idp.token(), options={"verify_signature": False})
    own = public("mine")
    for header in ({"jwk": own}, {"jku": f"{idp.url}/mine"}, {"x5u": f"{idp.url}/mine"}):
        forged = jwt.encode(claims, signing_key("mine"), "RS256", {"kid": "one", **header})
        assert (await ask(_door(idp), forged)).status == 401
    assert not [path for path in idp.asked if "mine" in path]


async def test_of_the_providers_keys_only_those_that_sign_count(idp: IdentityProvider) -> None:
    secret = {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode(), "kid": "s"}
    signing_key("short", bits=1024)
    idp.keys = [
        public("enc", use="enc"),
        public("short"),
        {**secret, "alg": "HS256"},
        {"kty": "RSA", "kid": "broken", "n": "!!", "e": 7},
        {"kty": "EC", "crv": "P-000", "kid": "x"},
        {},
        public("one"),
    ]
    app = _door(idp)
    assert (await ask(app, idp.token())).status == 200
    for kid in ("enc", "short"):
        assert (await ask(app, idp.token(kid))).status == 401
    found = oidc.signing_keys({"keys": [*idp.keys, "text", None]})
    assert [key.kid for key in found] == ["one"]
    assert oidc.signing_keys({}) == oidc.signing_keys({"keys": 7}) == ()


async def test_a_token_without_a_name_of_its_key_means_the_only_one(idp: IdentityProvider) -> None:
    idp.keys = [public(None)]
    assert (await ask(_door(idp), idp.token(None))).status == 200
    idp.keys = [public("one"), public("two")]
    assert (await ask(_door(idp), idp.token(None))).status == 401


async def test_keys_are_rotated_without_a_restart_and_old_ones_end(
    idp: IdentityProvider, clock: _Clock
) -> None:
    app, old = _door(idp), idp.token()
    assert (await ask(app, old)).status == 200
    idp.keys = [public("one"), public("two", "ES256")]
    clock.ahead = 11
    assert (await ask(app, idp.token("two", "ES256"))).status == 200
    assert (await ask(app, old)).status == 200
    idp.keys = [public("two", "ES256")]
    clock.ahead = 22
    assert (await ask(app, idp.token("three"))).status == 401  # and it was looked for
    assert (await ask(app, old)).status == 401
    assert (await ask(app, idp.token("two", "ES256"))).status == 200


async def test_unknown_names_of_keys_cause_few_questions_and_lock_nobody_out(
    idp: IdentityProvider, clock: _Clock
) -> None:
    app = _door(idp)
    good = idp.token()
    assert (await ask(app, good)).status == 200
    before = len(idp.asked)
    claims = good.split(".")[1:]
    for number in range(50):
        head = _part({"alg": "RS256", "kid": f"unknown-{number}"})
        assert (await ask(app, ".".join([head, *claims]))).status == 401
    assert len(idp.asked) == before
    clock.ahead = 11
    for number in range(50):
        head = _part({"alg": "RS256", "kid": f"unknown-{number}"})
        await ask(app, ".".join([head, *claims]))
    assert idp.asked[before:] == ["/.well-known/openid-configuration", "/jwks"]


async def test_without_the_provider_known_keys_count_for_an_hour_and_others_are_503(
    idp: IdentityProvider, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "llmservice.identity")
    app = _door(idp)
    idp.status = 500
    token = idp.token(exp=int(time.time()) + 10_000)
    refused = await ask(app, token)
    assert (refused.status, refused.error["code"]) == (503, "service_unavailable")
    assert "retry-after" in refused.headers
    idp.status, clock.ahead = 200, 2
    assert (await ask(app, token)).status == 200
    idp.status, clock.ahead = 500, 3000
    assert (await ask(app, token)).status == 200
    assert (await ask(app, idp.token("two"))).status == 503
    assert (await ask(app, idp.token(sub="eva"))).status == 200
    clock.ahead = 3700
    assert (await ask(app, token)).status == 503
    idp.status, clock.ahead = 200, 3800
    assert (await ask(app, token)).status == 200
    said = [record.getMessage() for record in caplog.records]
    assert [line.endswith("answers again") for line in said] == [False, True, False, True]


async def test_a_provider_that_fails_is_asked_less_and_less_often(
    idp: IdentityProvider, clock: _Clock
) -> None:
    app = _door(idp)
    idp.status = 500
    for second in range(300):
        clock.ahead = float(second)
        await ask(app, idp.token())
    assert 5 <= len(idp.asked) <= 12


@pytest.mark.parametrize(
    "fault",
    ["another issuer", "no uri", "a file", "a redirect", "no json", "too much", "nothing there"],
)
async def test_documents_that_are_none_are_told_in_one_line(
    idp: IdentityProvider, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    answers: dict[str, Any] = {
        "another issuer": {"issuer": "https://evil.example", "jwks_uri": f"{idp.url}/jwks"},
        "no uri": {"issuer": idp.url},
        "a file": {"issuer": idp.url, "jwks_uri": "file:///etc/passwd"},
        "too much": {"issuer": idp.url, "jwks_uri": f"{idp.url}/jwks", "x": "y" * 2**20},
        "no json": [1],
    }
    idp.discovery = answers.get(fault, idp.discovery)
    if fault == "a redirect":
        idp.status, idp.headers = 302, {"location": f"{idp.url}/elsewhere"}
    named = {"jwksUri": "http://127.0.0.1:9/jwks"} if fault == "nothing there" else {}
    refused = await ask(_door(idp, **named), idp.token())
    assert refused.status == 503
    assert "/elsewhere" not in idp.asked
    (record,) = caplog.records
    assert record.getMessage().startswith("the identity provider's keys cannot be had: ")


async def test_a_provider_that_stalls_is_not_waited_for_long(
    idp: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "_WHOLE", 0.1)
    idp.stalls.set()
    refused = await ask(_door(idp), idp.token())
    assert refused.status == 503
    idp.stalls.clear()


async def test_keys_without_a_discovery_document_are_where_the_file_says(
    idp: IdentityProvider,
) -> None:
    app = _door(idp, jwksUri=f"{idp.url}/jwks")
    assert (await ask(app, idp.token())).status == 200
    assert idp.asked == ["/jwks"]


async def test_tokens_that_are_none_are_refused_whatever_they_are(idp: IdentityProvider) -> None:
    app = _door(idp)
    deep = base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("=")
    wrong = ["..", "a.b.c", "eyJ.eyJ.x", f"{deep}.{deep}.x", "\xff.\xff.\xff", f"{idp.token()}x"]
    for number, token in enumerate(wrong):
        refused = await ask(app, token, address=f"192.0.2.{number}")
        assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")
        assert token not in refused.error["message"]
