"""From what a request shows to who asks: static keys, stored keys and tokens, and the lock-out.

What is known is found by a digest that is keyed by a secret of this process: nobody outside can
choose it, so that how long a look-up takes tells nothing, and no key is kept.
"""

import asyncio
import math
import secrets
import time
from hashlib import blake2b
from typing import TYPE_CHECKING

from llmservice_server import secret
from llmservice_server.config import AuthConfig, ConfigError
from llmservice_server.config.static_keys import static_keys
from llmservice_server.gateway.caller import Caller
from llmservice_server.gateway.identity.address import network
from llmservice_server.gateway.identity.known import Known
from llmservice_server.gateway.identity.lockout import Lockout
from llmservice_server.gateway.identity.refused import WrongKey, locked
from llmservice_server.gateway.identity.stored import KeyStore, StoredKeys

if TYPE_CHECKING:
    from llmservice_server.gateway.identity.oidc import Tokens

_STATIC = "static:"
"""Before the name of a key of the configuration: never one of the database's, or of a token's."""


class Callers:
    """Made of what the configuration names.

    Raises:
        ConfigError: a secret is not there, or the database that should hold the keys.
    """

    def __init__(self, auth: AuthConfig, pepper: bytes | None, store: KeyStore | None) -> None:
        self._salt = secrets.token_bytes(32)
        self._static = self._of_file(auth)
        self._tokens = _tokens(auth)
        self._stored: StoredKeys | None = None
        if auth.stored:
            if store is None or pepper is None:
                raise ConfigError("auth.stored: there is no database; configure one")
            self._stored = StoredKeys(store, pepper)
        self._lockout = Lockout()
        self._tasks: list[asyncio.Task[None]] = []

    async def find(self, credential: bytes, address: str) -> Known:
        """Whose key or token this is.

        Raises:
            Refused: nobody's, or nobody can tell, or the address is locked out.
        """
        fingerprint = self._fingerprint(credential)
        now, place = time.monotonic(), network(address)
        if (wait := self._lockout.wait(place, now)) and not self._lockout.proven(
            place, fingerprint
        ):
            self._lockout.failed(place, now)
            raise locked(math.ceil(wait))
        known = self._static.get(fingerprint) or self._remembered(fingerprint)
        if known is None:
            try:
                known = await self._looked_up(credential.decode("latin-1"), fingerprint)
            except WrongKey:
                self._lockout.failed(place, now)
                raise
        self._lockout.succeeded(place, fingerprint)
        return known

    def _remembered(self, fingerprint: bytes) -> Known | None:
        now = time.time()
        known = self._stored and self._stored.remembered(fingerprint, now)
        return known or (self._tokens and self._tokens.remembered(fingerprint, now))

    async def _looked_up(self, credential: str, fingerprint: bytes) -> Known:
        if self._tokens is not None and credential.count(".") == 2:
            return await self._tokens.find(credential, fingerprint)
        if self._stored is not None:
            return await self._stored.find(credential, fingerprint)
        raise WrongKey("The key is none of ours; check it, or ask for another.")

    def start(self) -> None:
        """Keep current what is remembered, until `stop`."""
        if self._stored is not None:
            self._tasks.append(asyncio.create_task(self._stored.keep_current()))
        if self._tokens is not None:
            self._tasks.append(asyncio.create_task(self._tokens.provider.keep_current()))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._stored is not None:
            await self._stored.tell_uses()

    def _fingerprint(self, credential: bytes) -> bytes:
        # A quarter of what an HMAC takes, and as good: RFC 7693 has the key in it.
        return blake2b(credential, key=self._salt).digest()

    def _of_file(self, auth: AuthConfig) -> dict[bytes, Known]:
        if auth.keys is None:
            return {}
        plan = auth.named[auth.default_plan]
        found = static_keys(secret.read(auth.keys, "auth.keys"), "auth.keys")
        return {
            self._fingerprint(key.encode()): Known(
                Caller("", plan, key=f"{_STATIC}{name}", user=f"{_STATIC}{name}")
            )
            for name, key in found
        }


def _tokens(auth: AuthConfig) -> "Tokens | None":
    if auth.oidc is None:
        return None
    from llmservice_server.gateway.identity.oidc import Tokens  # noqa: PLC0415  with what it needs

    return Tokens(auth.oidc, auth)
