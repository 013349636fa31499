"""Tokens of an identity provider (OpenID Connect, RFC 7519): checked by its keys, here.

Promises: only signatures by public keys of the listed algorithms count, each key only with those
that its type and its own ``alg`` allow; issuer and audience are the configured ones, and a token
without an end is none. Clocks may differ by a minute. A token that was found good is not checked
again until it ends or the provider's keys are others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from llmservice_server.config import AuthConfig, OidcConfig, Plan
from llmservice_server.gateway.caller import Caller
from llmservice_server.gateway.identity.bounded import Bounded
from llmservice_server.gateway.identity.known import Known
from llmservice_server.gateway.identity.provider import Document, Provider
from llmservice_server.gateway.identity.refused import (
    Refused,
    WrongKey,
    cannot_tell,
    not_allowed,
    unauthorized,
)

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_EC = MappingProxyType({"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"})
_ALGORITHMS = _RSA.union(_EC.values())
_RSA_BITS = 2048
_SKEW = 60  # seconds
_KEPT = 20_000  # tokens
_LONGEST_USER = 200  # characters
_OF = "oidc:"
"""Before a user's name: never one of the database's, or of a static key's."""


@dataclass(frozen=True)
class SigningKey:
    """``kid`` is its name, if it has one."""

    kid: str | None
    algorithms: frozenset[str]
    key: RSAPublicKey | EllipticCurvePublicKey


def signing_keys(document: Document) -> tuple[SigningKey, ...]:
    """Those of a JWKS (RFC 7517) that may sign tokens; what cannot be read is passed over."""
    found: object = document.get("keys")
    listed = cast("list[object]", found) if isinstance(found, list) else []
    keys = (_signing_key(cast("Document", one)) for one in listed if isinstance(one, dict))
    return tuple(key for key in keys if key)


def _signing_key(one: Document) -> SigningKey | None:
    if one.get("kty") == "RSA":
        algorithms = _RSA
    elif one.get("kty") == "EC" and (algorithm := _EC.get(str(one.get("crv")))):
        algorithms = frozenset({algorithm})
    else:
        return None
    if one.get("use", "sig") != "sig":
        return None
    if (own := one.get("alg")) is not None:
        algorithms &= {str(own)}
    kid: object = one.get("kid")
    try:
        key: object = jwt.PyJWK(one, min(algorithms)).key if algorithms else None
    except Exception:  # noqa: BLE001  whatever it makes of what is no key
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _RSA_BITS:
        return None
    if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey):
        return None  # a private one is nobody's to publish
    return SigningKey(kid if isinstance(kid, str) else None, algorithms, key)


class Tokens:
    def __init__(self, oidc: OidcConfig, auth: AuthConfig) -> None:
        self._oidc, self._plans = oidc, auth.named
        self._default = self._plans[auth.default_plan]
        self._known = Bounded[bytes, tuple[int, Known]](_KEPT)
        self.provider = Provider(oidc, signing_keys)

    def remembered(self, fingerprint: bytes, now: float) -> Known | None:
        """The token, if it was found good by keys that still count."""
        version, known = self._known.get(fingerprint, (None, None))
        if known is None or version != self.provider.version or known.until <= now:
            return None
        return known if self.provider.current is not None else None

    async def find(self, token: str, fingerprint: bytes) -> Known:
        """The same of any token.

        Raises:
            Refused: it is not good, or nobody can tell.
        """
        key, algorithm = await self._key_of(token)
        version = self.provider.version
        claims, until = self._claims(token, key, algorithm)
        known = Known(self._caller(claims), until, lasting=False)
        self._known.put(fingerprint, (version, known))
        return known

    async def _key_of(self, token: str) -> tuple[SigningKey, str]:
        try:
            head: Mapping[str, Any] = jwt.get_unverified_header(token)
        except Exception:  # noqa: BLE001  whatever it makes of what is no token
            raise _bad("cannot be read") from None
        algorithm, kid = head.get("alg"), head.get("kid")
        if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
            raise _bad("is not signed by an algorithm that is taken here")
        if "crit" in head:
            raise _bad("demands what is not understood here")
        key = _the_one(self.provider.current, algorithm, kid)
        if key is None:
            await self.provider.ask_again()
            key = _the_one(self.provider.current, algorithm, kid)
        if key is not None:
            return key, algorithm
        if self.provider.current is None or self.provider.failing:
            raise cannot_tell("Tokens cannot be checked at the moment; send the request again.")
        raise _late("is signed by a key that its provider does not have")

    def _claims(
        self, token: str, key: SigningKey, algorithm: str
    ) -> tuple[Mapping[str, Any], float]:
        """And until when they hold."""
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self._oidc.audience,
                issuer=self._oidc.issuer,
                leeway=_SKEW,
                options={"require": ["exp", "iss", "aud"]},
            )
            return claims, float(claims["exp"]) + _SKEW
        except jwt.ExpiredSignatureError:
            raise _late("has expired") from None
        except jwt.ImmatureSignatureError:
            raise _late("is not yet good, or a clock is wrong") from None
        except jwt.InvalidAudienceError:
            raise _bad("is for somebody else: its audience is another") from None
        except jwt.InvalidIssuerError:
            raise _bad("is from another issuer") from None
        except Exception:  # noqa: BLE001  and whatever else it finds
            raise _bad("is not good") from None

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        user: object = claims.get(self._oidc.user_claim)
        if not isinstance(user, str) or not 0 < len(user) <= _LONGEST_USER:
            raise not_allowed(f"The token's claim {self._oidc.user_claim} names no user.")
        if not user.isprintable():
            raise not_allowed(f"The token's claim {self._oidc.user_claim} is no name.")
        name = f"{_OF}{user}"
        admin = self._oidc.admin_claim is not None and claims.get(self._oidc.admin_claim) is True
        return Caller("", self._plan(claims), key=name, user=name, admin=admin)

    def _plan(self, claims: Mapping[str, Any]) -> Plan:
        told: object = self._oidc.plan_claim and claims.get(self._oidc.plan_claim)
        if isinstance(told, list):
            return next((plan for name, plan in self._plans.items() if name in told), self._default)
        if told is None:
            return self._default
        if isinstance(told, str) and told in self._plans:
            return self._plans[told]
        raise not_allowed(
            f"The token's claim {self._oidc.plan_claim} names no plan of this server."
        )


def _the_one(keys: tuple[SigningKey, ...] | None, algorithm: str, kid: object) -> SigningKey | None:
    """The key that the token names; where it names none, the only one that it can mean."""
    fitting = [key for key in keys or () if algorithm in key.algorithms]
    if kid is not None:
        return next((key for key in fitting if key.kid == kid), None)
    return fitting[0] if len(fitting) == 1 else None


def _bad(what: str) -> Refused:
    return WrongKey(_sentence(what))


def _late(what: str) -> Refused:
    """One that was good, or may be soon."""
    return unauthorized(_sentence(what))


def _sentence(what: str) -> str:
    return f"The token {what}; ask your provider for another."
