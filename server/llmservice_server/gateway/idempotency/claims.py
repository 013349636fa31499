"""Whose key is meant and what was asked by it; pure."""

import hashlib
import json
from typing import NamedTuple, Protocol
from uuid import uuid4

from llmservice_server.gateway.answers.recorded import Recorded
from llmservice_server.gateway.asgi import Scope, header
from llmservice_server.gateway.sanitize import document_of

_BOUNDARY = b"boundary="


class Claim(NamedTuple):
    """``name``: of a caller's key. ``asked``: what for, as a digest. ``token``: of this attempt."""

    name: str
    asked: str
    token: str

    def __str__(self) -> str:
        return f"{self.asked} {self.token}"


class Held(NamedTuple):
    """What somebody asked by a key before; ``answer`` is None while that still runs."""

    asked: str
    answer: Recorded | None


class UnavailableError(Exception):
    """It cannot be known whether a key is claimed."""


class Claims(Protocol):
    def start(self) -> None:
        """Make ready what takes longer than a request may wait; before the first one."""
        ...

    async def claim(self, claim: Claim) -> Held | None:
        """None where it is ours now, until it is kept or released; else what there is.

        Raises:
            UnavailableError: that cannot be known.
        """
        ...

    async def keep(self, claim: Claim, answer: Recorded) -> None:
        """Whoever comes by the key from now on gets this."""
        ...

    async def release(self, claim: Claim) -> None:
        """The next one by the key runs."""
        ...

    async def close(self) -> None: ...


def claim_of(scope: Scope, tenant: str, key: bytes, body: bytes) -> Claim:
    """For a request whose body is this."""
    name = _digest(json.dumps([tenant, key.decode("latin-1")]).encode())
    where = f"{scope['path']}?{scope['query_string'].decode('latin-1')}\n"
    return Claim(name, _digest(where.encode() + _meaning(scope, body)), uuid4().hex)


def _meaning(scope: Scope, body: bytes) -> bytes:
    """The same for bodies that say the same, as those of one request sent twice do."""
    document = document_of(scope)
    if document is not None:
        return json.dumps(document, sort_keys=True).encode()
    # Of a form, whose parts are separated by other words each time.
    _, _, boundary = (header(scope, b"content-type") or "").encode().partition(_BOUNDARY)
    boundary = boundary.partition(b";")[0].strip().strip(b'"')
    return body.replace(boundary, b"") if boundary else body


def _digest(told: bytes) -> str:
    return hashlib.sha256(told).hexdigest()
