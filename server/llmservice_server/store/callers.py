"""Stored keys as identity asks for them: each with its user's plan, whoever has written that."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from llmservice_server.config import AuthConfig, Plan
from llmservice_server.gateway.caller import Scopes
from llmservice_server.gateway.identity.stored import StoredKey
from llmservice_server.store.keys import Found, Keys

_log = logging.getLogger("llmservice.store")


class CallerKeys:
    """The `KeyStore` of the database."""

    def __init__(self, keys: Keys, auth: AuthConfig) -> None:
        self._keys, self._auth = keys, auth

    async def find(self, prefix: str) -> StoredKey | None:
        found = await self._keys.find(prefix)
        if found is None:
            return None
        key = found.key
        return StoredKey(
            id=key.prefix,
            user=key.user,
            digest=found.digest,
            plan=self._plan(found),
            admin=key.admin,
            scopes=Scopes(_set(key.routes), _set(key.models)),
            expires=key.expires.timestamp() if key.expires else None,
            revoked=key.revoked is not None,
        )

    async def version(self) -> int:
        return await self._keys.version()

    async def used(self, last: Mapping[str, float]) -> None:
        """By the seconds since the epoch."""
        await self._keys.used({key: datetime.fromtimestamp(at, UTC) for key, at in last.items()})

    def _plan(self, found: Found) -> Plan:
        """The configuration's where both have one of that name."""
        named = self._auth.named
        if found.plan is None:
            return named[self._auth.default_plan]
        if plan := named.get(found.plan) or found.stored_plan:
            return plan
        _log.warning(
            "plan %s of user %s is gone: it has the default one", found.plan, found.key.user
        )
        return named[self._auth.default_plan]


def _set(names: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)
