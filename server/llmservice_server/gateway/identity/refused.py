"""A request that is not served, and what its client is told: never what it showed."""

from collections.abc import Sequence

Headers = tuple[tuple[bytes, bytes], ...]
_CHALLENGE: Headers = ((b"www-authenticate", b"Bearer"),)
_RETRY_AFTER: Headers = ((b"retry-after", b"2"),)


class Refused(Exception):  # noqa: N818  the client's fault, or nobody's
    def __init__(
        self, status: int, kind: str, message: str, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.headers = status, kind, message, headers


class WrongKey(Refused):
    """It was never good, and may be a guess: an address that shows many is locked out."""

    def __init__(self, message: str) -> None:
        super().__init__(401, "invalid_api_key", message, _CHALLENGE)


def unauthorized(message: str) -> Refused:
    """No key, or one that was good once."""
    return Refused(401, "invalid_api_key", message, _CHALLENGE)


def not_allowed(message: str) -> Refused:
    return Refused(403, "permission_error", message)


def cannot_tell(message: str) -> Refused:
    """Whoever knows is not there: a key that may be good is not called wrong."""
    return Refused(503, "service_unavailable", message, _RETRY_AFTER)


def locked(seconds: int) -> Refused:
    """This address showed wrong keys too often."""
    message = "Too many wrong keys came from this address; come again later."
    headers = [(b"retry-after", b"%d" % seconds)]
    return Refused(429, "rate_limit_exceeded", message, headers)
