"""API keys as they are made, looked up and stored; pure but for the randomness of a new one.

``sk-``, eight characters by which a key is looked up, and 43 that are the secret, 256 bits. A store
holds the prefix and a digest that is worth nothing without the pepper, which lies elsewhere. A key
is random, so that one HMAC is enough: there is nothing to guess that a slow hash would protect.
"""

import base64
import hashlib
import hmac
import re
import secrets

_PREFIX, _SECRET = 8, 43
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_KEY = re.compile(rf"sk-([A-Za-z0-9]{{{_PREFIX}}})[A-Za-z0-9_-]{{{_SECRET}}}")


def new_key() -> str:
    """A key that nobody has; who makes it shows it once."""
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(_PREFIX))
    return f"sk-{prefix}{secrets.token_urlsafe(32)}"


def prefix_of(key: str) -> str | None:
    """By what a store finds the key; None of what cannot be one of ours."""
    found = _KEY.fullmatch(key)
    return found[1] if found else None


def digest(key: str, pepper: bytes) -> bytes:
    """What is stored of a key, to be compared by `hmac.compare_digest`.

    Raises:
        ValueError: without a pepper a stolen store would be as good as the keys.
    """
    if not pepper:
        raise ValueError("there is no pepper")
    return hmac.digest(pepper, key.encode(errors="surrogatepass"), hashlib.sha256)


def signing_secret(key: str, pepper: bytes) -> str:
    """What its owner signs requests with, and never sends. Who made the key shows it once, too.

    Raises:
        ValueError: as `digest`.
    """
    secret = digest(f"signature:{key}", pepper)
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
