"""All upstreams: who serves a model, whom to ask next, and which models there are.

Who lists its own models is asked for them now and then. Forwards nothing.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from typing import Any, cast

import orjson

from llmservice_server.engines.proxy.connection import Answer, BrokenError
from llmservice_server.engines.proxy.dial import UnreachableError
from llmservice_server.engines.proxy.upstream import Upstream

_LOOK_SECONDS = 10.0
_TOGETHER_SECONDS = 0.5  # a proxy is to be ready in two
_LISTED_EVERY, _UNLISTED_EVERY = 60.0, 5.0  # seconds
_MOST_MODELS = 10_000  # of one upstream's list
_LONGEST_NAME = 256
_LONGEST_LIST = 1 << 22  # bytes

_log = logging.getLogger("llmservice.upstream")


class Upstreams:
    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        self._upstreams = upstreams
        self._serving: dict[str, list[Upstream]] = {}
        self._unlisted = {upstream for upstream in upstreams if upstream.lists_its_own}
        self._looks: set[asyncio.Task[str | None]] = set()  # the event loop alone would drop them
        self._looking: asyncio.Task[list[str]] | None = None
        self.reached = False
        """Whether one of them ever answered."""
        self._route()

    @property
    def names(self) -> list[str]:
        """Every model, as clients call it."""
        return list(self._serving)

    @property
    def all_listed(self) -> bool:
        """Whether a model that is not among the names is nowhere."""
        return not self._unlisted

    def serve(self, model: str) -> bool:
        return model in self._serving

    def choose(self, model: str, without: Collection[Upstream] = ()) -> Upstream | None:
        """Who is to be asked, unless all that serve the model are broken or were asked."""
        now = time.monotonic()
        able = [
            upstream
            for upstream in self._serving.get(model, ())
            if upstream not in without and upstream.breaker.admits(now)
        ]
        return min(able, key=lambda upstream: upstream.rank(now), default=None)

    def back_in(self, model: str) -> float:
        """Seconds until one that serves the model may be tried again."""
        now = time.monotonic()
        return min((u.breaker.until - now for u in self._serving.get(model, ())), default=0.0)

    async def look(self) -> list[str]:
        """Ask each, without costing a token, whether it is there; why not, of those that are not.

        Who is there does not wait long for the others, which may yet list their models. All that
        ask meanwhile share one look.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_at_all())
        return await asyncio.shield(self._looking)  # which one that leaves does not end

    async def _look_at_all(self) -> list[str]:
        looks = {asyncio.create_task(self._look(each)) for each in self._upstreams}
        for look in looks:
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)
        done, late = await asyncio.wait(looks, timeout=_TOGETHER_SECONDS)
        while late and all(look.result() for look in done):
            more, late = await asyncio.wait(late, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        faults = [look.result() for look in done]
        self.reached |= not all(faults)
        return [fault for fault in faults if fault]

    async def keep_listed(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_LISTED_EVERY if self.all_listed else _UNLISTED_EVERY)
            own = [upstream for upstream in self._upstreams if upstream.lists_its_own]
            await asyncio.gather(*(self._look(upstream) for upstream in own))

    def close(self) -> None:
        """End the connections that are free."""
        for upstream in self._upstreams:
            upstream.close()

    async def _look(self, upstream: Upstream) -> str | None:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                status, listed = await _listed(upstream)
        except (UnreachableError, BrokenError, TimeoutError, ValueError) as error:
            return f"{upstream.name}: {_words(error)}"
        if status == 401:
            return f"{upstream.name}: it does not take the key"
        if status >= 500:
            return f"{upstream.name}: it answers with status {status}"
        if status == 429 and upstream in self._unlisted:
            return f"{upstream.name}: it answers with status {status}"
        if upstream.lists_its_own:
            if status == 200:
                upstream.models = {name: name for name in listed}
            else:  # what it listed before it still has
                _log.warning("%s lists no models (status %d); name them", upstream.name, status)
            self._unlisted.discard(upstream)
            self._route()
        return None

    def _route(self) -> None:
        serving: dict[str, list[Upstream]] = {}
        for upstream in self._upstreams:
            for model in upstream.models:
                serving.setdefault(model, []).append(upstream)
        self._serving = serving


async def _listed(upstream: Upstream) -> tuple[int, list[str]]:
    """With which status it answers, and the models that it lists."""
    answer = await upstream.get("/models", _LOOK_SECONDS)
    try:
        await answer.begun()
        return answer.status, _ids(await _list(answer)) if answer.status == 200 else []
    finally:
        answer.close()


async def _list(answer: Answer) -> bytearray:
    """To its end, or as far as any list goes; what is cut off there is no JSON."""
    read = bytearray()
    while len(read) <= _LONGEST_LIST and not answer.ended:
        read += await answer.piece()
    return read[:_LONGEST_LIST]


def _ids(content: bytearray) -> list[str]:
    read: Any = orjson.loads(content)
    listed: Any = cast("dict[str, Any]", read).get("data") if isinstance(read, dict) else None
    if not isinstance(listed, list):
        return []
    found = [
        name
        for model in cast("list[Any]", listed)[:_MOST_MODELS]
        if isinstance(model, dict)
        and isinstance(name := cast("dict[str, Any]", model).get("id"), str)
        and 0 < len(name) <= _LONGEST_NAME
    ]
    return list(dict.fromkeys(found))


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return "no list of models" if isinstance(error, ValueError) else str(error)
