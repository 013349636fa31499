"""One upstream: its address, its key, its models, and how it has been doing."""

import logging
import time

from llmservice_server.config import UpstreamConfig
from llmservice_server.engines.proxy.breaker import Breaker
from llmservice_server.engines.proxy.connection import Answer
from llmservice_server.engines.proxy.dial import Dial
from llmservice_server.engines.proxy.pool import Pool

_LONGEST_REST = 60.0  # seconds for which a 429 makes others the first choice

_log = logging.getLogger("llmservice.upstream")


class Upstream:
    """``name`` tells it apart in the log; neither it nor anything else here shows the key."""

    def __init__(self, config: UpstreamConfig, key: str | None) -> None:
        self.name = config.url.partition("://")[2]
        self.key = key
        self._dial = Dial(config.url)
        self._pool = Pool(self._dial)
        self._heads: dict[str, bytes] = {}
        self.weight = config.weight
        self.models = {m.name: m.upstream_name or m.name for m in config.models}
        """What clients call each model, and what it calls it."""
        self.lists_its_own = not config.models
        self.breaker = Breaker()
        self.in_flight = self.begun = 0
        self.limited_until = 0.0

    async def post(self, path: str, fields: bytes, body: bytes, seconds: float) -> Answer:
        """Ask for what is at a path of ours, with more lines of a head; seconds: to connect.

        Raises:
            UnreachableError, BrokenError: nothing was asked.
        """
        head = self._heads.get(path)
        if head is None:
            head = self._heads[path] = self._head("POST", path.removeprefix("/v1"))
        rest = b"%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        return await self._pool.ask(head, rest % (fields, len(body)), body, seconds=seconds)

    async def get(self, path: str, seconds: float) -> Answer:
        """The same of a path below its address, on a connection that nothing was asked on."""
        head = self._head("GET", path) + b"accept: */*\r\n\r\n"
        return await self._pool.ask(head, seconds=seconds, fresh=True)

    def _head(self, method: str, path: str) -> bytes:
        lines = [
            f"{method} {self._dial.target}{path} HTTP/1.1",
            f"host: {self._dial.host}",
            "accept-encoding: identity",  # an event of ours could not follow a compressed stream
            "user-agent: llmservice",
            *([f"authorization: Bearer {self.key}"] if self.key else []),
        ]
        return "\r\n".join([*lines, ""]).encode() + self._dial.fields

    def rank(self, now: float) -> tuple[bool, float, float]:
        """The least is asked next: few in flight for its weight, and in turn where that is even."""
        load, turns = self.in_flight / self.weight, self.begun / self.weight
        return self.limited_until > now, load, turns

    def begin(self) -> bool:
        """A request goes out; whether it tries out an open breaker."""
        self.in_flight += 1
        self.begun += 1
        return self.breaker.begin()

    def end(self) -> None:
        self.in_flight -= 1

    def close(self) -> None:
        """End the connections that are free."""
        self._pool.close()

    def limited(self, seconds: float) -> None:
        self.limited_until = time.monotonic() + min(seconds, _LONGEST_REST)

    def failed(self, why: str, *, trial: bool) -> None:
        rest = self.breaker.failed(time.monotonic(), trial=trial)
        if rest:
            _log.warning("%s: %s; left alone for %.0f s", self.name, why, rest)
        else:
            _log.info("%s: %s", self.name, why)
