"""The durable truth of what was used, as far as the counters need it."""

from typing import NamedTuple, Protocol

from llmservice_server.gateway.toll.counters import Seed


class Entry(NamedTuple):
    """What one request used. ``month`` is the one that its reservation was charged to.

    ``reserved_requests`` and ``reserved_tokens`` are what `Ledger.reserve` was told, taken back
    with this.
    """

    key: str | None
    user: str | None
    model: str
    month: str
    requests: int
    input_tokens: int
    output_tokens: int
    reserved_requests: int = 0
    reserved_tokens: int = 0


class Ledger(Protocol):
    """Both methods that are told something return at once; what they are told is durable within a
    second, and a failure is theirs to repeat. What a replica that died had reserved and never used
    is charged in full, by another one.
    """

    async def month(self, user: str, month: str) -> Seed:
        """What a user has used in a month, with what replicas that died had reserved.

        Raises:
            Exception: it cannot be known now; whoever has a quota is refused meanwhile.
        """
        ...

    def reserve(self, user: str, month: str, requests: int, tokens: int) -> None: ...

    def use(self, entry: Entry) -> None: ...
