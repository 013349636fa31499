"""The events of a server-sent stream, forwarded whole.

So that whatever cuts a stream off, its client has read events to their end and can read one more
that says so. Costs a look at the last bytes of each piece; holds nothing back where pieces end
with events, as upstreams send them.
"""

from llmservice_server.engines.proxy.failure import Failure

_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_LONGEST = 1 << 20  # bytes of an event that are held back; a longer one is forwarded in parts
# What the last event of a stream says, by route. Routes that are not named have no such event.
_CLOSING: dict[str, tuple[bytes, ...]] = {
    "/v1/chat/completions": (b"[DONE]", b'"error"'),
    "/v1/completions": (b"[DONE]", b'"error"'),
    "/v1/responses": (
        *(b"response.completed", b"response.incomplete", b"response.failed"),
        *(b"[DONE]", b'"error"'),
    ),
}


class Events:
    def __init__(self, path: str) -> None:
        self._closing = _CLOSING.get(path, ())
        self._rest = bytearray()  # of an event that has not ended
        self._last = b""

    def whole(self, piece: bytes) -> bytes:
        """What can be forwarded now that this piece is there."""
        if self._rest or not piece.endswith(_ENDS):
            piece = self._ended(piece)
        if piece:
            self._last = piece
        return piece

    def rest(self) -> bytes:
        """What is left when the upstream ended the stream; an event even without an empty line."""
        rest = bytes(self._rest)
        self._rest.clear()
        if rest:
            self._last = rest
            rest = rest.rstrip(b"\r\n") + b"\n\n"
        return rest

    def _ended(self, piece: bytes) -> bytes:
        """Searches what is new alone, or an event that dribbles in would cost its square."""
        new = max(0, len(self._rest) - 3)
        self._rest += piece
        found = ((self._rest.rfind(mark, new), len(mark)) for mark in _ENDS)
        end = max(at + length if at >= 0 else 0 for at, length in found)
        if len(self._rest) - end > _LONGEST:
            end = len(self._rest)
        ended = bytes(self._rest[:end])
        del self._rest[:end]
        return ended

    @property
    def complete(self) -> bool:
        """Whether the stream's last event was there. An upstream may end one politely before."""
        return not self._closing or any(mark in self._last for mark in self._closing)


def error_event(failure: Failure) -> bytes:
    """The event that ends a broken stream, as OpenAI's clients read it."""
    return b"data: " + failure.body() + b"\n\n"
