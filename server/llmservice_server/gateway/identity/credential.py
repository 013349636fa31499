"""What a request shows of who asks: a key or a token, as OpenAI's and Anthropic's clients do it."""

import hmac

from llmservice_server.gateway.asgi import Scope
from llmservice_server.gateway.identity.refused import unauthorized

_LONGEST = 16 * 2**10  # bytes; tokens that list many groups have some thousand
_HOW = "send the key as Authorization: Bearer KEY"


def shown(scope: Scope) -> bytes | None:
    """The key or token as it came; None where there is none.

    Raises:
        Refused: it is not shown in a way that is read here, or two different ones are.
    """
    found: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            key = _bearer(value)
        elif name == b"x-api-key":
            key = value.strip()
        else:
            continue
        if found is not None and not hmac.compare_digest(found, key):
            raise unauthorized(f"The request shows two different keys; {_HOW}, once.")
        found = key
    if found is None:
        return None
    if not found:
        raise unauthorized(f"The request's key is empty; {_HOW}.")
    if len(found) > _LONGEST:
        raise unauthorized(
            f"The request's key is longer than {_LONGEST} bytes, and so none of ours."
        )
    return found


def _bearer(value: bytes) -> bytes:
    scheme, _, key = value.strip().partition(b" ")
    match scheme.lower():
        case b"bearer":
            return key.strip()
        case b"basic":
            raise unauthorized(f"Names and passwords (Basic) are not taken here; {_HOW}.")
        case _:
            raise unauthorized(f"The Authorization header is not understood; {_HOW}.")
