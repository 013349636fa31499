"""Making API keys. A key is shown to who made it, this once; what is kept cannot show it again."""

from datetime import UTC, datetime
from typing import Self

from pydantic import Field

from llmservice_server import secret
from llmservice_server.admin.asked import NewKey
from llmservice_server.config import AuthConfig
from llmservice_server.gateway.identity import keys
from llmservice_server.store.failures import RefusedError
from llmservice_server.store.keys import Key, Keys

_FIRST = "first administrator"


class MadeKey(Key):
    """``key`` is the key itself."""

    key: str = Field(repr=False)


class Issue:
    """pepper: what stored digests are made with; None where the configuration names none."""

    def __init__(self, stored: Keys, pepper: bytes | None) -> None:
        self._stored, self._pepper = stored, pepper

    @classmethod
    def of(cls, stored: Keys, auth: AuthConfig) -> Self:
        """With the configuration's pepper.

        Raises:
            ConfigError: it is not where the configuration says.
        """
        pepper = secret.read_line(auth.pepper, "auth.pepper").encode() if auth.pepper else None
        return cls(stored, pepper)

    async def make(self, new: NewKey, by: str) -> MadeKey:
        """A key as it is asked for.

        Raises:
            RefusedError: there is no such user, or no pepper.
        """
        made, digest = self._made(new)
        await self._stored.add(_kept(made), digest, by)
        return made

    async def bootstrap(self, user: str, by: str) -> MadeKey:
        """The first key of an administrator, and its user.

        Raises:
            RefusedError: there is an administrator's key already, or no pepper.
        """
        made, digest = self._made(NewKey(user=user, name=_FIRST, admin=True))
        await self._stored.add_first(_kept(made), digest, by)
        return made

    def _made(self, new: NewKey) -> tuple[MadeKey, bytes]:
        if self._pepper is None:
            raise RefusedError(
                "no key can be stored without a pepper: write auth.pepper: {variable: NAME}, and "
                "there 32 random bytes, as `openssl rand -hex 32` makes them"
            )
        key = keys.new_key()
        made = MadeKey(
            **dict(new),
            key=key,
            prefix=keys.prefix_of(key) or "",
            created=datetime.now(UTC),
            revoked=None,
            last_used=None,
        )
        return made, keys.digest(key, self._pepper)


def _kept(made: MadeKey) -> Key:
    return Key(**{name: getattr(made, name) for name in Key.model_fields})
