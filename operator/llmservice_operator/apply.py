"""A plan's writes: server-side apply of what differs, deletion of what is owned and surplus.

Promises: nothing is sent for a child that has all we want (ownership.py); an object that is not
ours is never written, not even in a race: a child that we do not know is created under the
condition that nothing has its name, one that we know is changed under the condition of its uid;
each answer enters the store at once; no Deployment is written whose pods would run without what
the same plan gives them, or with somebody else's, or that two would scale; one write that fails,
or that nobody answers, keeps no other waiting for long; no child is fought for (contest.py), and
none of a kind that we may not see is written. Never: a retry, a read but of a name that was found
taken or gone and of what is contested.
"""

import asyncio
import logging
import re
import time
from collections import defaultdict
from collections.abc import Awaitable
from dataclasses import dataclass, field

from llmservice_operator import metrics
from llmservice_operator.api.conditions import Reason
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.client import NAMESPACE_TERMINATING, ApiError, Client
from llmservice_operator.contest import AT_ONCE, Contest, last_writer
from llmservice_operator.kinds import CHILDREN, NEEDED, NEEDING
from llmservice_operator.observed import Problem
from llmservice_operator.ownership import covers, digest_of, lost
from llmservice_operator.records import Child, Key, Ref, Resource, child
from llmservice_operator.rollout import Plan, ref_of
from llmservice_operator.store import Store
from llmservice_operator.words import shortened

# An apply that names a resourceVersion fails with 409 where the object has any other, and creates
# the object where there is none: with a version that no object has it can only create.
_ONLY_CREATE = "1"
_PERHAPS_GONE = frozenset({404, 409})  # or not: see Client.there()
# What only the person who reads the status can mend, in the API server's words: invalid, denied
# by an admission webhook or a quota, a missing right.
_REFUSED = frozenset({400, 403, 413, 422})
# Quotas, rights and policies change behind our back; what is refused for its content stays refused.
_REFUSED_FOR_NOW, _BY_POLICY = 403, re.compile("admission webhook|AdmissionPolicy")
PATIENCE = 600.0  # seconds until what was refused for its content is sent again as it is
SOON = 10.0  # seconds; a failure that took longer is none that passes at once

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Refusal:
    """sent: the hash of what, and onto what. until: not sent again before that."""

    sent: tuple[object, ...]
    until: float
    problem: Problem


@dataclass
class _Memory:
    """Of one resource's children. settled: (uid, hash, owned) of each that was found to be right.
    taken: names that some object has which the watch does not show us. refused: for their content.
    contests: over those that others changed or deleted.
    """

    settled: dict[Ref, tuple[str, str, bytes]] = field(
        default_factory=dict[Ref, tuple[str, str, bytes]]
    )
    taken: set[Ref] = field(default_factory=set[Ref])
    refused: dict[Ref, "_Refusal"] = field(default_factory=dict[Ref, "_Refusal"])
    contests: dict[Ref, Contest] = field(default_factory=dict[Ref, Contest])


class Writer:
    def __init__(self, client: Client, store: Store) -> None:
        self._client, self._store = client, store
        self._memory: defaultdict[Key, _Memory] = defaultdict(_Memory)

    async def carry_out(self, plan: Plan, resource: Resource) -> list[Problem]:
        """Write what differs. Problems are for the status; an ApiError means try again."""
        memory = self._memory[resource.key]
        unseen = self._store.unseen(resource.key.namespace)
        problems = [
            Problem(Reason.RIGHT_MISSING, f"what there is of {kind} is not known: {shortened(why)}")
            for kind, why in unseen.items()
        ]
        lacking, answers = not NEEDED.isdisjoint(unseen), _Answers()
        for surplus in plan.prune:
            if surplus.ref.kind in unseen:  # it may be gone already
                lacking = lacking or surplus.ref.kind in NEEDING
                continue
            if problem := await answers.awaited(surplus.ref, self._delete(surplus)):
                problems.append(problem)
                lacking = lacking or surplus.ref.kind in NEEDING
            memory.settled.pop(surplus.ref, None)
        for manifest in plan.apply:
            if manifest["kind"] in unseen or (lacking and manifest["kind"] in NEEDING):
                continue
            ref = ref_of(manifest)
            if problem := await answers.awaited(ref, self._bring(manifest, resource, memory)):
                problems.append(problem)
                contested = problem.reason == Reason.FIELD_CONFLICT
                lacking = lacking or (manifest["kind"] in NEEDED and not contested)
        return problems

    def as_before(self, plan: Plan, resource: Resource) -> Plan:
        """What of the plan keeps or brings back children as they were applied last."""
        memory = self._memory[resource.key]

        def applied(ref: Ref) -> str:
            live = self._store.child(ref)
            return live.applied if live else _settled_digest(memory, ref)

        same = (m for m in plan.apply if applied(ref_of(m)) == digest_of(m))
        return Plan(prune=(), apply=tuple(same))

    def forget(self, key: Key) -> None:
        self._memory.pop(key, None)

    async def _bring(
        self, manifest: Manifest, resource: Resource, memory: _Memory
    ) -> Problem | None:
        ref = ref_of(manifest)
        live = self._store.child(ref)
        if live is None and ref in memory.taken:
            live = await self._look(ref)
            memory.taken.discard(ref)
        if live is not None and (problem := _in_the_way(live, resource)):
            memory.taken.add(ref)
            return problem
        contest = memory.contests.get(ref)
        if live is not None and (live.deleting or _settles(live, manifest, memory)):
            return contest.told(ref) if contest else None
        if digest_of(manifest) in (live and live.applied, _settled_digest(memory, ref)):
            return await self._take_back(manifest, live, memory)
        return await self._send(manifest, live, memory)

    async def _take_back(
        self, manifest: Manifest, live: Child | None, memory: _Memory
    ) -> Problem | None:
        """Somebody changed or deleted what we have applied as it is."""
        ref = ref_of(manifest)
        contest = memory.contests.setdefault(ref, Contest())
        if contest.waits():
            return contest.told(ref)
        if contest.times + 1 >= AT_ONCE:
            contest.words = await self._done_to(ref, live, manifest)
        if problem := await self._send(manifest, live, memory):
            return problem
        contest.taken_back()
        return contest.told(ref)

    async def _send(
        self, manifest: Manifest, live: Child | None, memory: _Memory
    ) -> Problem | None:
        ref, now = ref_of(manifest), time.monotonic()
        sent = (digest_of(manifest), live and (live.uid, live.owned))
        refusal = memory.refused.get(ref)
        if refusal and refusal.sent == sent and now < refusal.until:
            return refusal.problem
        try:
            written = await self._apply(manifest, live)
        except ApiError as error:
            metrics.refusals.labels(ref.kind, f"{error.code}").inc()
            if error.code == 409 and live is None:
                memory.taken.add(ref)  # by whom, the next attempt says
            elif _refused(error):
                words = f"{ref} was refused: {shortened(error.message)}"
                problem = Problem(Reason.APPLY_REFUSED, words)
                if error.code != _REFUSED_FOR_NOW and not _BY_POLICY.search(error.message):
                    memory.refused[ref] = _Refusal(sent, now + PATIENCE, problem)
                return problem
            raise
        memory.refused.pop(ref, None)
        # What an admission webhook changed in it is not ours to fight for: this is as good as
        # it gets, until somebody else changes it.
        memory.settled[ref] = (written.uid, digest_of(manifest), written.owned)
        return None

    async def _done_to(self, ref: Ref, live: Child | None, manifest: Manifest) -> str:
        """What somebody does to a child of ours again and again."""
        found = live and await self._find(ref)
        if not live or not found:
            return "is deleted again and again"
        who = last_writer(found["metadata"].get("managedFields", ()))
        what = lost(live.owned, manifest) or "its hash"
        return f"is changed again and again ({what}, by {who})"

    async def _apply(self, manifest: Manifest, live: Child | None) -> Child:
        only_if = {"uid": live.uid} if live else {"resourceVersion": _ONLY_CREATE}
        sent = {**manifest, "metadata": {**manifest["metadata"], **only_if}}
        kind = CHILDREN[manifest["kind"]]
        written = child(await self._client.apply(kind, sent))
        self._store.put(written)
        metrics.applies.labels(kind.name, "apply" if live else "create").inc()
        log.info("%s %s", "applied" if live else "created", written.ref)
        return written

    async def _look(self, ref: Ref) -> Child | None:
        """Who has a name that we found taken: somebody else, or we, faster than the watch."""
        found = await self._find(ref)
        return child(found) if found else None

    async def _find(self, ref: Ref) -> Manifest | None:
        return await self._client.find(CHILDREN[ref.kind], ref.namespace, ref.name)

    async def _delete(self, surplus: Child) -> Problem | None:
        kind, ref = CHILDREN[surplus.ref.kind], surplus.ref
        this = ref.namespace, ref.name, surplus.uid
        try:
            await self._client.delete(kind, *this)
        except ApiError as error:
            if error.code not in _PERHAPS_GONE or await self._client.there(kind, *this):
                metrics.refusals.labels(ref.kind, f"{error.code}").inc()
                if not _refused(error):
                    raise
                words = f"the deletion of {ref} was refused: {shortened(error.message)}"
                return Problem(Reason.APPLY_REFUSED, words)
        self._store.remove(surplus)
        metrics.applies.labels(kind.name, "delete").inc()
        log.info("deleted %s, which nothing needs any more", ref)
        return None


@dataclass
class _Answers:
    """What comes of the requests of one reconcile.

    The first that is in vain may take as long as the client waits, those after a slow one SOON:
    what is slow to fail may be so for all, and no worker is to be kept for minutes.
    """

    _within: float | None = None

    async def awaited(self, ref: Ref, attempt: Awaitable[Problem | None]) -> Problem | None:
        """What came of it; a failure of the server's own in its words."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._within):
                return await attempt
        except TimeoutError:
            said = f"no answer within {SOON:g} s"
        except ApiError as error:
            if not error.failed and not error.unanswered:
                raise
            said = error.message
        took = time.monotonic() - began
        if took >= SOON:
            self._within = SOON
        words = f"{ref} cannot be written: {shortened(said)}"
        log.warning(words)
        return Problem(Reason.API_FAILED, words, passing=took < SOON)


def _refused(error: ApiError) -> bool:
    return error.code in _REFUSED and error.reason != NAMESPACE_TERMINATING


def _settled_digest(memory: _Memory, ref: Ref) -> str:
    return memory.settled.get(ref, ("", "", b""))[1]


def _settles(live: Child, manifest: Manifest, memory: _Memory) -> bool:
    right = (live.uid, digest_of(manifest), live.owned)
    if memory.settled.get(live.ref) == right:
        return True
    if live.applied != digest_of(manifest) or not covers(live.owned, manifest):
        return False
    memory.settled[live.ref] = right
    return True


def _in_the_way(found: Child, resource: Resource) -> Problem | None:
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
