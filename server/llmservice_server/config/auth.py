"""Who may ask: where keys lie, which provider's tokens are taken, and which plans there are."""

import re
from collections import Counter
from ipaddress import ip_network
from typing import Annotated, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from llmservice_server.config.part import Part
from llmservice_server.config.place import SecretPlace
from llmservice_server.config.plan import NAME, Plan

ANONYMOUS = "anonymous"
"""The plan of those who show no key, where that is allowed."""


_ADDRESS = re.compile(r"https?://[^\s@#]+")


def _address(url: str) -> str:
    if not _ADDRESS.fullmatch(url):
        raise ValueError(": write an https:// address without credentials")
    return url


Address = Annotated[str, AfterValidator(_address)]
Claim = Annotated[str, Field(min_length=1)]


class OidcConfig(Part):
    """An identity provider whose tokens are taken in place of keys.

    ``jwksUri``: its keys, where it has no discovery document. ``userClaim`` names the user,
    ``planClaim`` the plan, in a text or a list of which one item is a plan; who has ``adminClaim``
    as true may ask what admins may.
    """

    issuer: Address  # tokens repeat it to the letter
    audience: Annotated[str, Field(min_length=1)]
    jwks_uri: Address | None = None
    user_claim: Claim = "sub"
    plan_claim: Claim | None = None
    admin_claim: Claim | None = None


class AuthConfig(Part):
    """Off, and the server open to everybody, where none of the first four is written.

    ``keys``: one key, or lines of ``NAME: KEY``. ``stored``: keys of the database too, whose
    digests need the ``pepper``. ``signed``: a request with a key must be signed as well.
    ``anonymous``: who shows no key is served, by the plan ``anonymous``. ``trustedProxies``: those
    whose X-Forwarded-For is believed, as networks.
    """

    anonymous: bool = False
    keys: SecretPlace = None
    stored: bool = False
    oidc: OidcConfig | None = None
    pepper: SecretPlace = None
    signed: bool = False
    plans: Annotated[tuple[Plan, ...], Field(strict=False)] = ()
    default_plan: Annotated[str, Field(pattern=NAME)] = "default"
    trusted_proxies: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @property
    def on(self) -> bool:
        return self.anonymous or self.stored or self.keys is not None or self.oidc is not None

    @property
    def named(self) -> dict[str, Plan]:
        """The plans by their names, with those that are there without being written."""
        usual = (Plan(name=name) for name in ("default", ANONYMOUS))
        return {plan.name: plan for plan in (*usual, *self.plans)}

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for number, proxy in enumerate(proxies):
            try:
                ip_network(proxy, strict=False)
            except ValueError:
                raise ValueError(f".{number}: not a network; write 10.0.0.0/8") from None
        return proxies

    @model_validator(mode="after")
    def _whole(self) -> Self:
        twice = [name for name, n in Counter(plan.name for plan in self.plans).items() if n > 1]
        if twice:
            raise ValueError(f".plans: {twice[0]} is there twice; write it once")
        if self.default_plan not in self.named:
            raise ValueError(f".defaultPlan: {self.default_plan} is none of the plans; add it")
        if self.pepper is None and (self.stored or self.signed):
            raise ValueError(".pepper: is missing; write {variable: NAME} or {file: PATH}")
        return self
