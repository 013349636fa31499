"""A plan's writes: server-side apply of what differs, deletion of what is owned and surplus.

Promises: nothing is sent for a child that has all we want (ownership.py); an object that is not
ours is never written, not even in a race: a child that we do not know is created under the
condition that nothing has its name, one that we know is changed under the condition of its uid;
each answer enters the store at once. Never: a retry, a read where nothing is in the way.
"""

import logging

from llmservice_operator import metrics
from llmservice_operator.api.conditions import Reason
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.client import NAMESPACE_TERMINATING, ApiError, Client
from llmservice_operator.kinds import CHILDREN
from llmservice_operator.observed import Problem
from llmservice_operator.ownership import covers, digest_of
from llmservice_operator.records import Child, Ref, Resource, child
from llmservice_operator.rollout import Plan, ref_of
from llmservice_operator.store import Store

# An apply that names a resourceVersion fails with 409 where the object has any other, and creates
# the object where there is none: with a version that no object has it can only create.
_ONLY_CREATE = "1"
# What only the person who reads the status can mend, in the API server's words: invalid, denied
# by an admission webhook or a quota, a missing right.
_REFUSED = frozenset({400, 403, 413, 422})

log = logging.getLogger(__name__)


class Writer:
    def __init__(self, client: Client, store: Store) -> None:
        self._client, self._store = client, store
        self._settled: dict[str, tuple[str, bytes]] = {}  # uid -> (hash, owned) found to be right

    async def carry_out(self, plan: Plan, resource: Resource) -> list[Problem]:
        """Write what differs. Problems are for the status; an ApiError means try again."""
        for surplus in plan.prune:
            await self._delete(surplus)
        problems = [await self._bring(manifest, resource) for manifest in plan.apply]
        return [problem for problem in problems if problem]

    async def _bring(self, manifest: Manifest, resource: Resource) -> Problem | None:
        ref = ref_of(manifest)
        live = self._store.child(ref)
        if live is not None and (problem := self._in_the_way(live, resource)):
            return problem
        if live is not None and (live.deleting or self._settles(live, manifest)):
            return None
        try:
            await self._apply(manifest, live)
        except ApiError as error:
            if error.code == 409 and live is None:
                return await self._who_has(ref, resource)
            if error.code in _REFUSED and error.reason != NAMESPACE_TERMINATING:
                return Problem(Reason.APPLY_REFUSED, f"{ref} was refused: {error.message}")
            raise
        return None

    def _settles(self, live: Child, manifest: Manifest) -> bool:
        digest = digest_of(manifest)
        if self._settled.get(live.uid) == (digest, live.owned):
            return True
        if live.applied != digest or not covers(live.owned, manifest):
            return False
        self._settled[live.uid] = (digest, live.owned)
        return True

    async def _apply(self, manifest: Manifest, live: Child | None) -> None:
        only_if = {"uid": live.uid} if live else {"resourceVersion": _ONLY_CREATE}
        sent = {**manifest, "metadata": {**manifest["metadata"], **only_if}}
        kind = CHILDREN[manifest["kind"]]
        written = child(await self._client.apply(kind, sent))
        self._store.put(written)
        # What an admission webhook changed in it is not ours to fight for: this is as good as
        # it gets, until somebody else changes it.
        self._settled[written.uid] = (digest_of(manifest), written.owned)
        metrics.applies.labels(kind.name, "apply" if live else "create").inc()
        log.info("%s %s", "applied" if live else "created", written.ref)

    async def _who_has(self, ref: Ref, resource: Resource) -> Problem | None:
        kind = CHILDREN[ref.kind]
        found = child({"kind": ref.kind, **await self._client.get(kind, ref.namespace, ref.name)})
        if problem := self._in_the_way(found, resource):
            return problem
        self._store.put(found)  # ours, written so recently that the watch has not shown it
        raise ApiError(409, "Conflict", f"{ref} was just created")

    def _in_the_way(self, found: Child, resource: Resource) -> Problem | None:
        if found.owner == resource.uid:
            return None
        if found.owner_name == resource.key.name:
            return Problem(
                Reason.WAITING_FOR_DELETION,
                f"{found.ref} of the deleted LLMService of this name is still being removed",
            )
        return Problem(
            Reason.NAME_CONFLICT,
            f"{found.ref} exists and is not owned by this LLMService: "
            "delete or rename it, or give this LLMService another name",
            stalled=True,
        )

    async def _delete(self, surplus: Child) -> None:
        kind, ref = CHILDREN[surplus.ref.kind], surplus.ref
        try:
            await self._client.delete(kind, ref.namespace, ref.name, surplus.uid)
        except ApiError as error:
            if error.code not in (404, 409):  # gone, or a namesake that is not ours
                raise
        self._store.remove(surplus)
        self._settled.pop(surplus.uid, None)
        metrics.applies.labels(kind.name, "delete").inc()
        log.info("deleted %s, which nothing needs any more", ref)

    def forget(self, uids: set[str]) -> None:
        """Drop what is remembered of children that are gone."""
        for uid in uids:
            self._settled.pop(uid, None)
