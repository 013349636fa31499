"""The status as it goes to the API server: only when it differs, at most once a second each.

News are told at once where none were told for a second. Those of a write of children are only the
first of several, and are told a second after they came, so that no child waits behind a status. How
far something has come (pods, phases of a start) is told only where it goes on for long.
Promises: news are never untold for longer than a second; an equal status sends nothing; conditions
of others stay; the answer enters the store at once; a resource that is certainly gone leaves the
store. Events follow a status that was written, never another.
"""

import time

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.client import ApiError, Client
from llmservice_operator.events import Recorder
from llmservice_operator.kinds import LLM_SERVICE
from llmservice_operator.records import Key, Resource, resource
from llmservice_operator.status import beside_others, is_news, merge_patch, transitions
from llmservice_operator.store import Store

PAUSE = 1.0  # seconds between two statuses of one resource; as many may news be untold
# And where something goes on and nothing else: more than the ten seconds that a pod has to answer
# until it counts, so that the rollout of one is told of twice, as it begins and as it ends.
PROGRESS = 15.0


class Reporter:
    def __init__(self, client: Client, store: Store, recorder: Recorder) -> None:
        self._client, self._store, self._recorder = client, store, recorder
        self._told: dict[Key, float] = {}  # when it was last
        self._due: dict[Key, float] = {}  # when news that wait will be told

    async def report(self, known: Resource, status: Manifest, *, wrote: bool = False) -> float:
        """Returns the seconds to wait before trying again; 0 where the status is right now.

        wrote: children, just now.
        """
        key, ours = known.key, status
        status = beside_others(known.status, ours)
        if not (patch := merge_patch(known.status, status)):
            self._due.pop(key, None)
            return 0.0
        now = time.monotonic()
        if (wait := self._when(known, status, now, wrote=wrote) - now) > 0:
            return wait
        # The uid makes the server refuse where the resource is another one of the same name, the
        # version where somebody wrote since: conditions of theirs would be taken back.
        same = {"uid": known.uid}
        if status is not ours:
            same["resourceVersion"] = str(known.version)
        body = {"metadata": same, "status": patch}
        try:
            answer = await self._client.merge_status(LLM_SERVICE, *key, body)
        except ApiError as error:
            if error.code != 404 or await self._client.there(LLM_SERVICE, *key, known.uid):
                raise
            self._store.remove(known)
            return 0.0
        self._told[key] = time.monotonic()
        self._due.pop(key, None)
        written = resource(answer)
        self._store.put(written)
        self._recorder.announce(known, transitions(known.status, status))
        # What was not sent and still differs, somebody else wrote before we saw it.
        return PAUSE if merge_patch(written.status, status).keys() - patch.keys() else 0.0

    def _when(self, known: Resource, status: Manifest, now: float, *, wrote: bool) -> float:
        """The time to write it."""
        told = self._told.get(known.key, float("-inf"))
        if not is_news(known.status, status):
            self._due.pop(known.key, None)
            return told + PROGRESS
        return self._due.setdefault(known.key, (now if wrote else told) + PAUSE)

    def forget(self, key: Key) -> None:
        self._told.pop(key, None)
        self._due.pop(key, None)
