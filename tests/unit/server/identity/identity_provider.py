"""An identity provider on the loopback, with real keys that it can change, and with faults."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "llm"
_CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
_made: dict[tuple[str, str], Any] = {}


def signing_key(kid: str, algorithm: str = "RS256", bits: int = 2048) -> Any:
    """The same for the same name: RSA keys take long to make."""
    name = (kid, algorithm)
    if name not in _made:
        curve = _CURVES.get(algorithm)
        _made[name] = (
            ec.generate_private_key(curve)
            if curve
            else rsa.generate_private_key(public_exponent=65537, key_size=bits)
        )
    return _made[name]


def public(kid: str | None, algorithm: str = "RS256", **more: object) -> dict[str, object]:
    """As it stands in a JWKS."""
    key = signing_key(str(kid), algorithm).public_key()
    kind = ECAlgorithm if algorithm.startswith("ES") else RSAAlgorithm
    told = {**json.loads(kind.to_jwk(key)), "kid": kid, "use": "sig", "alg": algorithm, **more}
    return {name: value for name, value in told.items() if value is not None}


class IdentityProvider:
    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: list[dict[str, object]] = [public("one")]
        self.asked: list[str] = []
        self.status = 200
        self.discovery: dict[str, object] = {"issuer": url, "jwks_uri": f"{url}/jwks"}
        self.headers: dict[str, str] = {}
        self.stalls = threading.Event()

    def token(self, kid: str | None = "one", algorithm: str = "RS256", **claims: object) -> str:
        """A good one but for what is said; a claim that is None is left out."""
        now = int(time.time())
        usual = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ada",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
        }
        told = {name: value for name, value in (usual | claims).items() if value is not None}
        key = signing_key(str(kid), algorithm)
        return jwt.encode(told, key, algorithm, {"kid": kid} if kid else None)

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(path)
        if self.stalls.is_set():
            time.sleep(3)
        body = self.discovery if path.startswith("/.well-known/") else {"keys": self.keys}
        return self.status, self.headers, json.dumps(body).encode()


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = provider.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        provider = IdentityProvider(f"http://127.0.0.1:{server.server_port}")
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        try:
            yield provider
        finally:
            server.shutdown()
            serving.join()
