"""The status as it goes to the API server: only when it differs, at most once a second each.

Promises: an equal status sends nothing; the answer enters the store at once; a resource that
turns out to be gone leaves the store. Events follow a status that was written, never another.
"""

import time

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.client import ApiError, Client
from llmservice_operator.events import Recorder
from llmservice_operator.kinds import LLM_SERVICE
from llmservice_operator.records import Key, Resource, resource
from llmservice_operator.status import merge_patch, transitions
from llmservice_operator.store import Store

PAUSE = 1.0  # seconds between two statuses of one resource
PHASE = 10.0  # and where a start goes on and nothing else: short phases are told afterwards


class Reporter:
    def __init__(self, client: Client, store: Store, recorder: Recorder) -> None:
        self._client, self._store, self._recorder = client, store, recorder
        self._written: dict[Key, float] = {}

    async def report(self, known: Resource, status: Manifest) -> float:
        """Returns the seconds to wait before trying again; 0 where the status is right now."""
        patch = merge_patch(known.status, status)
        if not patch:
            return 0.0
        now = time.monotonic()
        # A new resource's first status waits too: by then its pods are there to be told of.
        since = now if "conditions" not in known.status else 0.0
        only_a_phase = patch.keys() == {"startup"} and "since" in status.get("startup", {})
        pause = PHASE if only_a_phase else PAUSE
        if (wait := self._written.setdefault(known.key, since) + pause - now) > 0:
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
        self._written[known.key] = now
        self._store.put(resource(answer))
        self._recorder.announce(known, transitions(known.status, status))
        return 0.0

    def forget(self, key: Key) -> None:
        self._written.pop(key, None)
