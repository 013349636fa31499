"""The status as it goes to the API server: only when it differs, at most once a second each.

What a new spec or a write of children leads to is told once these have had a second to act on it,
so that no child waits behind a status; how far something has come (pods, phases of a start) is told
only where it goes on for long, and other news at once.
Promises: an equal status sends nothing; the answer enters the store at once; a resource that
turns out to be gone leaves the store. Events follow a status that was written, never another.
"""

import time
from typing import NamedTuple

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.client import ApiError, Client
from llmservice_operator.events import Recorder
from llmservice_operator.kinds import LLM_SERVICE
from llmservice_operator.records import Key, Resource, resource
from llmservice_operator.status import is_news, merge_patch, transitions
from llmservice_operator.store import Store

PAUSE = 1.0  # seconds between two statuses of one resource
# And where something goes on and nothing else: more than the ten seconds that a pod has to answer
# until it counts, so that the rollout of one is told of twice, as it begins and as it ends.
PROGRESS = 15.0


class _Last(NamedTuple):
    """When a status for that generation was written or, where one is put off, since when it is."""

    generation: int
    at: float
    put_off: bool = False


class Reporter:
    def __init__(self, client: Client, store: Store, recorder: Recorder) -> None:
        self._client, self._store, self._recorder = client, store, recorder
        self._last: dict[Key, _Last] = {}

    async def report(self, known: Resource, status: Manifest, *, acted: bool = False) -> float:
        """Returns the seconds to wait before trying again; 0 where the status is right now.

        acted: children were written just now.
        """
        patch = merge_patch(known.status, status)
        if not patch:
            return 0.0
        now = time.monotonic()
        last = self._last[known.key] = self._since(known, now, acted=acted)
        pause = PAUSE if is_news(known.status, status) else PROGRESS
        if (wait := last.at + pause - now) > 0:
            return wait
        # The uid makes the server refuse where the resource is another one of the same name.
        body = {"metadata": {"uid": known.uid}, "status": patch}
        try:
            answer = await self._client.merge_status(LLM_SERVICE, *known.key, body)
        except ApiError as error:
            if error.code != 404:
                raise
            self._store.remove(known)
            return 0.0
        self._last[known.key] = _Last(known.generation, now)
        self._store.put(resource(answer))
        self._recorder.announce(known, transitions(known.status, status))
        return 0.0

    def _since(self, known: Resource, now: float, *, acted: bool) -> _Last:
        told = known.status.get("observedGeneration", 0)
        last = self._last.get(known.key) or _Last(told, 0.0)
        edited = known.generation != last.generation == told
        if (acted or edited) and not last.put_off:  # once, whatever follows closely
            return _Last(known.generation, now, put_off=True)
        return last._replace(generation=known.generation)

    def forget(self, key: Key) -> None:
        self._last.pop(key, None)
