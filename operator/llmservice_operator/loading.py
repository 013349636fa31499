"""What a server that loads says of itself: it is asked, now and then, for status.startup.

Promises: of each LLMService one pod is asked, that of status.startup, and only while it loads and
this process leads; few at once, and those that do not answer less and less often, as where a
network policy keeps us away; an answer costs PATIENCE seconds and 4 KiB at most, whatever it is. A
key is reported only where what is told of it is another thing. Never: a request to the API server.
"""

import asyncio
import time
from asyncio import IncompleteReadError
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from llmservice_operator import backoff, status
from llmservice_operator.observed import Observed
from llmservice_operator.records import Key, Loading, Ref, loading
from llmservice_operator.render.container import PORT
from llmservice_operator.store import Store

FIRST = 10.0  # seconds after a pod is seen to load: a short start is not asked for
PAUSE, LONGEST = 6.0, 300.0  # seconds between two questions to one that answers, and that does not
PATIENCE = 2.0  # seconds
_TICK = 1.0  # seconds between two looks at who is due
_AT_ONCE = 16
_BYTES = 4096

Ask = Callable[[str], Awaitable[bytes | None]]


@dataclass(slots=True)
class _Asked:
    """A pod: when it is asked next, how often in a row it did not answer, what it said last."""

    ref: Ref
    address: str
    due: float
    failures: int = 0
    said: Loading | None = None


class Inquiry:
    def __init__(
        self,
        store: Store,
        leads: Callable[[], bool],
        changed: Callable[[Key], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """changed is called with each key that is to be told something else."""
        self._store, self._leads, self._changed, self._clock = store, leads, changed, clock
        self._asked: dict[Key, _Asked] = {}
        self._somebody = asyncio.Event()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def said(self, observed: Observed) -> Loading | None:
        """What the pod of status.startup says, if it loads; from now on it is asked."""
        pod, key = status.loads(observed), observed.resource.key
        if pod is None or not pod.address:
            return None
        known = self._asked.get(key)
        if known is None or (known.ref, known.address) != (pod.ref, pod.address):
            due = self._clock() + FIRST
            known = self._asked[key] = _Asked(pod.ref, pod.address, due)
            self._somebody.set()
        return known.said

    async def run(self) -> None:
        """Ask, for as long as the operator runs."""
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            while True:
                await self._somebody.wait()
                await asyncio.sleep(_TICK)
                await self.look(lambda address: _ask(session, address))

    async def look(self, ask: Ask) -> None:
        """Ask all that are due."""
        for key, known in list(self._asked.items()):
            if not self._loads(key, known.ref):
                del self._asked[key]
        if not self._asked:
            self._somebody.clear()
        if self._leads():
            now = self._clock()
            due = [(key, asked) for key, asked in self._asked.items() if asked.due <= now]
            await asyncio.gather(*(self._ask_one(key, asked, ask) for key, asked in due))

    def _loads(self, key: Key, ref: Ref) -> bool:
        if (resource := self._store.resource(key)) is None:
            return False
        pod = status.loads(Observed(resource, (), tuple(self._store.pods(key))))
        return pod is not None and pod.ref == ref

    async def _ask_one(self, key: Key, asked: _Asked, ask: Ask) -> None:
        async with self._turns:
            answer = await ask(asked.address)
        said = loading(answer) if answer else None
        asked.failures = 0 if said else asked.failures + 1
        pause = backoff.seconds(asked.failures, PAUSE, LONGEST) if asked.failures else PAUSE
        asked.due = self._clock() + pause
        if said and said != asked.said:
            asked.said = said
            self._changed(key)


async def _ask(session: aiohttp.ClientSession, address: str) -> bytes | None:
    """The answer, if there is one of a fitting length. 503 is one, and the usual one."""
    host = f"[{address}]" if ":" in address else address
    try:
        async with session.get(f"http://{host}:{PORT}/health", allow_redirects=False) as answer:
            await answer.content.readexactly(_BYTES + 1)
    except IncompleteReadError as whole:
        return whole.partial
    except Exception:  # noqa: BLE001, S110  whatever it sends, it only says nothing
        pass
    return None
