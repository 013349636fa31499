"""One upstream: its address, its key, its models, and how it has been doing."""

import logging
import time
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from llmservice_server.config import UpstreamConfig
from llmservice_server.engines.proxy.breaker import Breaker

_LONGEST_REST = 60.0  # seconds for which a 429 makes others the first choice

_log = logging.getLogger("llmservice.upstream")


class Upstream:
    """``name`` tells it apart in the log; neither it nor anything else here shows the key."""

    def __init__(self, config: UpstreamConfig, key: str | None) -> None:
        self._base = URL(config.url)
        self._urls: dict[str, URL] = {}
        self.name = f"{self._base.authority}{self._base.path}".rstrip("/")
        self.key = key
        self.headers = {
            "accept-encoding": "identity",  # an event of ours could not follow a compressed stream
            "user-agent": "llmservice",
            **({"authorization": f"Bearer {key}"} if key else {}),
        }
        self.proxy = _proxy(self._base)
        self.weight = config.weight
        self.models = {m.name: m.upstream_name or m.name for m in config.models}
        """What clients call each model, and what it calls it."""
        self.lists_its_own = not config.models
        self.breaker = Breaker()
        self.in_flight = self.begun = 0
        self.limited_until = 0.0

    def url(self, path: str) -> URL:
        """Where a path below /v1 is, there."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(f"{self._base}{path.removeprefix('/v1')}", encoded=True)
        return url

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

    def limited(self, seconds: float) -> None:
        self.limited_until = time.monotonic() + min(seconds, _LONGEST_REST)

    def failed(self, why: str, *, trial: bool) -> None:
        rest = self.breaker.failed(time.monotonic(), trial=trial)
        if rest:
            _log.warning("%s: %s; left alone for %.0f s", self.name, why, rest)
        else:
            _log.info("%s: %s", self.name, why)


def _proxy(base: URL) -> str | None:
    """What HTTPS_PROXY, HTTP_PROXY and NO_PROXY say of it, looked up once."""
    host = base.host or ""
    return None if proxy_bypass(host) else getproxies().get(base.scheme)
