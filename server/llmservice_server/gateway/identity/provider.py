"""The documents of an identity provider: which keys it signs with at the moment.

Promises: they are asked for every five minutes, and at once for a key that is not among them, but
never twice in ten seconds and, while the provider fails, less and less often; never two at a time.
While it fails the last ones count for an hour. No redirect is followed, and nothing of a token is
sent.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from http.client import HTTPException
from typing import Any, Generic, TypeVar, cast
from urllib.error import URLError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from llmservice_server.config import OidcConfig

_REFRESH = 300.0  # seconds
_BETWEEN = 10.0  # seconds from an answer to the next question that a token causes
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0  # seconds after a failure, doubling
_BELIEVED = 3600.0  # seconds without an answer
_PATIENCE, _WHOLE = 5.0, 10.0  # seconds for a piece of an answer, and for all of it
_LARGEST = 2**20  # bytes
_DISCOVERY = "/.well-known/openid-configuration"

_log = logging.getLogger("llmservice.identity")
Document = dict[str, Any]
T = TypeVar("T")


class ProviderError(Exception):
    """Its documents cannot be had, or are none. The text is for our log."""


class Provider(Generic[T]):
    """``reads`` makes of the document with the keys what is kept of it."""

    def __init__(self, config: OidcConfig, reads: Callable[[Document], T]) -> None:
        self._config, self._reads = config, reads
        self._read: T | None = None
        self._answered: float | None = None
        self._next = 0.0  # when it may be asked again
        self._wait = _FIRST_WAIT
        self._failing = False
        self._asking: asyncio.Task[None] | None = None
        self.version = 0
        """Another number whenever the document is another."""

    @property
    def current(self) -> T | None:
        """What was read last; None where that is too long ago."""
        late = self._answered is None or time.monotonic() - self._answered > _BELIEVED
        return None if late else self._read

    @property
    def failing(self) -> bool:
        """Whether the last question was not answered."""
        return self._failing

    async def ask_again(self) -> None:
        """Unless that was just done."""
        if self._asking is None and time.monotonic() >= self._next:
            self._asking = asyncio.create_task(self._ask())
        if self._asking is not None:
            await asyncio.shield(self._asking)

    async def keep_current(self) -> None:
        """Ask again and again. Never returns."""
        while True:
            await self.ask_again()
            await asyncio.sleep(self._wait if self._failing else _REFRESH)

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(_WHOLE):
                read = self._reads(await asyncio.to_thread(_keys, self._config))
        except ProviderError as fault:
            self._failed(str(fault))
        except TimeoutError:
            self._failed(f"it takes longer than {_WHOLE:.0f} s")
        except Exception as fault:  # noqa: BLE001  what a library makes of what it was sent
            self._failed(type(fault).__name__)
        else:
            self._answers(read)
        finally:
            self._asking = None

    def _answers(self, read: T) -> None:
        if self._failing:
            _log.info("the identity provider answers again")
        if read != self._read:
            self._read, self.version = read, self.version + 1
        self._answered = time.monotonic()
        self._failing, self._wait, self._next = False, _FIRST_WAIT, self._answered + _BETWEEN

    def _failed(self, why: str) -> None:
        if not self._failing:
            _log.warning("the identity provider's keys cannot be had: %s", why)
        self._failing = True
        self._next = time.monotonic() + self._wait
        self._wait = min(2 * self._wait, _LONGEST_WAIT)


def _opener() -> OpenerDirector:
    """urllib's usual one but for redirects: another address was not configured."""
    opener = OpenerDirector()
    for handler in (
        *(ProxyHandler(), HTTPHandler(), HTTPSHandler()),
        *(HTTPDefaultErrorHandler(), HTTPErrorProcessor()),
    ):
        opener.add_handler(handler)
    return opener


_open = _opener().open


def _keys(config: OidcConfig) -> Document:
    return _document(config.jwks_uri or _discovered(config.issuer))


def _discovered(issuer: str) -> str:
    found = _document(issuer.rstrip("/") + _DISCOVERY)
    if found.get("issuer") != issuer:
        raise ProviderError("its discovery document names another issuer")
    uri: object = found.get("jwks_uri")
    safe = ("https://",) if issuer.startswith("https://") else ("https://", "http://")
    if not isinstance(uri, str) or not uri.startswith(safe):
        raise ProviderError("its discovery document names no safe jwks_uri")
    return uri


def _document(url: str) -> Document:
    request = Request(url, headers={"accept": "application/json"})  # noqa: S310  http(s) by its pattern
    try:
        with _open(request, timeout=_PATIENCE) as answer:
            content = cast("bytes", answer.read(_LARGEST + 1))
        document: object = json.loads(content) if len(content) <= _LARGEST else None
    except (URLError, HTTPException, OSError) as fault:
        raise ProviderError(f"{url}: {getattr(fault, 'reason', fault)}") from None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ProviderError(f"{url}: not a JSON object of at most {_LARGEST} bytes")
    return cast("Document", document)
