"""spec.gateway.auth: who may ask."""

from typing import Annotated

from llmservice_server.config import AuthConfig
from pydantic import ConfigDict, Field

from llmservice_operator.api.fields import matching, named, text
from llmservice_operator.api.part import Part, rule, rules
from llmservice_operator.api.plan import Plan, PlanName
from llmservice_operator.api.secret_key import ApiKeySecret, PepperSecret

_USUAL = AuthConfig()
_ADDRESS = r"^https?://[^\s@#]+$"
_ADDRESS_SENTENCE = "write the provider's https:// address, without credentials"
Address = Annotated[
    str, text(_ADDRESS, _ADDRESS_SENTENCE, 1024), matching(_ADDRESS, _ADDRESS_SENTENCE)
]
Claim = Annotated[str, Field(min_length=1, max_length=256)]
_NETWORK_SENTENCE = "not a network: write one as 10.0.0.0/8 or 2001:db8::/32, or an address"
Network = Annotated[
    str,
    Field(
        max_length=64,
        json_schema_extra=rules(rule("isCIDR(self) || isIP(self)", _NETWORK_SENTENCE)),
    ),
]
_NOBODY = (
    "without any of keysSecret, stored, oidc and anonymous the endpoint would be open to everybody "
    "who reaches it: write one, or remove auth"
)
_NO_PEPPER = (
    "stored keys and signed requests need a pepper: write pepperSecret: {name: SECRET}, which "
    "holds what `openssl rand -hex 32` prints"
)
_NO_PLAN = "defaultPlan is none of the plans: add it to plans, or write default"


class Oidc(Part):
    """An identity provider whose tokens are taken in place of keys."""

    issuer: Address
    """Its address, as its tokens have it in `iss`."""

    audience: Annotated[str, Field(min_length=1, max_length=1024)]
    """What its tokens for this model have in `aud`."""

    jwks_uri: Address | None = None
    """Where its keys are. Default: as its discovery document says."""

    user_claim: Claim = "sub"
    """Which claim names the user."""

    plan_claim: Claim | None = None
    """Which claim names the plan: a text, or a list of which one item is a plan. Default: none, and
    all have `defaultPlan`."""

    admin_claim: Claim | None = None
    """Who has this claim as true may ask what admins may. Default: nobody."""


def _flag(name: str) -> str:
    return f"(has(self.{name}) && self.{name})"


class Auth(Part):
    """Who may ask. Every route but probes, metrics and documentation then wants a key or a token,
    and what nobody listed is closed.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.keysSecret) || has(self.oidc) || "
                f"{_flag('stored')} || {_flag('anonymous')}",
                _NOBODY,
            ),
            rule(
                f"has(self.pepperSecret) || !({_flag('stored')} || {_flag('signed')})",
                _NO_PEPPER,
                path=".pepperSecret",
            ),
            rule(
                "!has(self.defaultPlan) || self.defaultPlan in ['default', 'anonymous'] || "
                "(has(self.plans) && self.plans.exists(p, p.name == self.defaultPlan))",
                _NO_PLAN,
                path=".defaultPlan",
            ),
        )
    )

    keys_secret: ApiKeySecret | None = None
    """Keys in a Secret: one alone, or lines of `NAME: KEY`. Pods read it when they start."""

    stored: bool = _USUAL.stored
    """Users and keys that are kept in `database`, and administered by `llmservice-server admin` or
    over `/admin/v1`."""

    oidc: Oidc | None = None
    """An identity provider whose tokens are taken."""

    anonymous: bool = _USUAL.anonymous
    """Whether who shows no key is served too, by the plan `anonymous` and `limits.anonymous`."""

    pepper_secret: PepperSecret | None = None
    """A secret of its own, without which the keys in the database are worth nothing. Another one
    ends them all."""

    signed: bool = _USUAL.signed
    """Whether a request with a key must be signed, too, so that nobody can send it again."""

    plans: Annotated[tuple[Plan, ...], named(32)] = ()
    """The tiers of callers. `default` and `anonymous` are there, without limits, if they are not
    written."""

    default_plan: PlanName = _USUAL.default_plan
    """The plan of who has no other."""

    trusted_proxies: Annotated[
        tuple[Network, ...],
        Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """Networks of the load balancers and proxies before it, whose X-Forwarded-For is believed, as
    `10.0.0.0/8`. Default: none, and all clients behind one have its address."""
