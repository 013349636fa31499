"""Signed requests: HTTP Message Signatures (RFC 9421), as much of them as proves what matters here.

One signature by hmac-sha256 over ``"@method"``, ``"@path"``, ``"@query"`` and, where there is a
body, ``"content-digest"`` (RFC 9530, sha-256), with ``created`` and ``nonce``. The secret is not
the key and never travels, so that who overhears a request, key and all, can neither send it again
nor send another. Promises: what was not signed is not served, a body is compared before anything
below sees its end, and none is served twice within the minutes for which its signature is good.
"""

import base64
import hashlib
import hmac
import re
import time
from typing import Protocol

from llmservice_server.gateway.asgi import Message, Receive, Scope, header
from llmservice_server.gateway.identity import keys
from llmservice_server.gateway.identity.bounded import Bounded
from llmservice_server.gateway.identity.refused import Refused, cannot_tell, unauthorized

_WINDOW = 60  # seconds that clocks may differ and requests may take
KEPT = 2 * _WINDOW
"""Seconds for which a nonce may come again."""
_NONCES = 200_000
_INPUT = re.compile(
    r"([a-z*][a-z0-9_.*-]{0,31})="
    r'(\(((?:"[a-z@-]+"(?: "[a-z@-]+")*)?)\)'
    r'((?:;[a-z]+=(?:\d{1,15}|"[\x20\x21\x23-\x5b\x5d-\x7e]*"))*))'
)
_PARAMETER = re.compile(r';([a-z]+)=(?:(\d+)|"([^"]*)")')
_NONCE = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]{8,128}")
_SIGNATURE = re.compile(r"([a-z*][a-z0-9_.*-]{0,31})=:([A-Za-z0-9+/]+={0,2}):")
_DIGEST = re.compile(r"(?:^|,\s*)sha-256=:([A-Za-z0-9+/]+={0,2}):")
_ALWAYS = frozenset({"@method", "@path"})
_PARAMETERS = frozenset({"created", "nonce", "alg", "keyid"})
_NOTHING = hashlib.sha256(b"").digest()


class Nonces(Protocol):
    def start(self) -> None:
        """Make ready what takes longer than a request may wait; before the first one."""
        ...

    async def fresh(self, nonce: bytes) -> bool:
        """Whether it was not seen within the window; from now on it was.

        Raises:
            Refused: nobody can tell.
        """
        ...


class OwnNonces:
    """Those of this process. A bounded number: beyond it nothing is served that cannot be told."""

    def __init__(self) -> None:
        self._seen = Bounded[bytes, float](_NONCES + 1)

    def start(self) -> None:
        """There is nothing to do."""

    async def fresh(self, nonce: bytes) -> bool:
        now = time.monotonic()
        while self._seen and next(iter(self._seen.values())) <= now - KEPT:
            self._seen.popitem(last=False)
        if nonce in self._seen:
            return False
        if len(self._seen) >= _NONCES:
            raise cannot_tell("More requests are signed than can be told apart; send it again.")
        self._seen.put(nonce, now)
        return True


class Signatures:
    def __init__(self, pepper: bytes, nonces: Nonces) -> None:
        self._pepper, self._nonces = pepper, nonces

    def start(self) -> None:
        self._nonces.start()

    async def checked(self, scope: Scope, receive: Receive, key: str) -> Receive:
        """What gives the body as it was signed, or raises `Refused` at its end.

        Raises:
            Refused: the request is not signed by the key's owner, or was sent before.
        """
        parameters, covered, base, mac = _read(scope)
        secret = keys.signing_secret(key, self._pepper).encode()
        if not hmac.compare_digest(hmac.digest(secret, base, "sha256"), mac):
            raise unauthorized("The request's signature is not that of its key's owner.")
        if abs(time.time() - int(parameters.get("created", "0"))) > _WINDOW:
            raise unauthorized(f"The signature was not made within {_WINDOW} s; check the clock.")
        nonce = parameters.get("nonce", "")
        if not _NONCE.fullmatch(nonce):
            raise unauthorized("The signature has no nonce of 8 to 128 characters.")
        if not await self._nonces.fresh(hashlib.sha256(f"{nonce} {key}".encode()).digest()):
            raise unauthorized("The request was sent before; sign each one anew.")
        return _whole(
            scope, receive, _body_digest(scope) if "content-digest" in covered else _NOTHING
        )


def _read(scope: Scope) -> tuple[dict[str, str], list[str], bytes, bytes]:
    """The signature's parameters, what it covers, what was signed, and the signature."""
    given, signature = header(scope, b"signature-input"), header(scope, b"signature")
    if given is None or signature is None:
        raise unauthorized("Requests with this key are signed (RFC 9421): see Signature-Input.")
    declared, made = _INPUT.fullmatch(given.strip()), _SIGNATURE.fullmatch(signature.strip())
    if declared is None or made is None or declared[1] != made[1]:
        raise unauthorized("Signature-Input and Signature are not one signature that is read here.")
    covered = declared[3].replace('"', "").split()
    needed = _ALWAYS | ({"@query"} if scope["query_string"] else set[str]())
    if len(set(covered)) != len(covered) or not needed.issubset(covered):
        raise unauthorized('The signature must cover "@method", "@path" and "@query".')
    parameters = {name: number or text for name, number, text in _PARAMETER.findall(declared[4])}
    if (
        not _PARAMETERS.issuperset(parameters)
        or parameters.get("alg", "hmac-sha256") != "hmac-sha256"
    ):
        raise unauthorized(
            "Of a signature created, nonce, keyid and alg=hmac-sha256 are read here."
        )
    lines = [f'"{name}": {_value(scope, name)}' for name in covered]
    base = "\n".join([*lines, f'"@signature-params": {declared[2]}']).encode()
    return parameters, covered, base, _decoded(made[2])


def _value(scope: Scope, name: str) -> str:
    match name:
        case "@method":
            return scope["method"]
        case "@path":
            return scope["raw_path"].decode("latin-1")
        case "@query":
            return f"?{scope['query_string'].decode('latin-1')}"
        case "content-digest" if (value := header(scope, b"content-digest")) is not None:
            return value.strip()
        case _:
            raise unauthorized(f"The signature covers {name}, which is not read or not there.")


def _body_digest(scope: Scope) -> bytes:
    found = _DIGEST.search(header(scope, b"content-digest") or "")
    if found is None:
        raise unauthorized("Content-Digest holds no sha-256.")
    return _decoded(found[1])


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError:
        raise unauthorized("What should be base64 is not.") from None


def _whole(scope: Scope, receive: Receive, expected: bytes) -> Receive:
    comes = any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 "))
        for name, value in scope["headers"]
    )
    if not comes:
        if not hmac.compare_digest(expected, _NOTHING):
            raise _other_body()
        return receive
    digest = hashlib.sha256()

    async def receive_checked() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            digest.update(message.get("body", b""))
            if not message.get("more_body") and not hmac.compare_digest(digest.digest(), expected):
                raise _other_body()
        return message

    return receive_checked


def _other_body() -> Refused:
    return unauthorized("The request's body is not the one that was signed.")
