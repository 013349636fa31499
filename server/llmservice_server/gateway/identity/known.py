"""A key or token that was found good, and for how long that may be believed."""

import math
from dataclasses import replace

from llmservice_server.gateway.caller import Caller


class Known:
    """until: seconds since the epoch. lasting: it is a key, which lives longer than a token."""

    __slots__ = ("_caller", "key", "lasting", "until")

    def __init__(self, caller: Caller, until: float = math.inf, *, lasting: bool = True) -> None:
        self._caller, self.until, self.lasting = caller, until, lasting
        self.key = caller.key

    def caller(self, address: str) -> Caller:
        """Who asks, from there: mostly from where the last request came."""
        if self._caller.address != address:
            self._caller = replace(self._caller, address=address)
        return self._caller
