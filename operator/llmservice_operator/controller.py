"""The reconcile: observe, render, plan, apply, report.

Level-triggered: a key says whom to look at, never what happened. Whatever was lost, repeated or
cut off half way, the next reconcile finishes the work, and where nothing differs it sends
nothing. A key whose reconcile fails comes back after a back-off; no worker ever waits for it.
"""

import asyncio
import contextlib
import logging
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

from llmservice_operator import logs, metrics, rollout, status
from llmservice_operator.api import InvalidSpec, LLMService
from llmservice_operator.api.conditions import Reason
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.apply import Writer
from llmservice_operator.client import ApiError
from llmservice_operator.desired import Desired
from llmservice_operator.lasting import Lasting
from llmservice_operator.leader import Leader, NotLeadingError
from llmservice_operator.loading import Inquiry
from llmservice_operator.observed import Observed, Problem
from llmservice_operator.places import Places
from llmservice_operator.prerequisites import Prerequisites
from llmservice_operator.queue import Queue
from llmservice_operator.records import Key, Resource
from llmservice_operator.report import Reporter
from llmservice_operator.spans import Spans
from llmservice_operator.store import Store

_UNTOLD = 2  # tries in a row that may fail without the status saying so

log = logging.getLogger(__name__)


@dataclass
class Controller:
    store: Store
    queue: Queue[Key]
    leader: Leader
    prerequisites: Prerequisites
    writer: Writer
    places: Places
    inquiry: Inquiry
    reporter: Reporter
    desired: Desired
    spans: Spans = field(default_factory=Spans)
    complaints: Lasting = field(default_factory=Lasting)
    _busy: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _draining: bool = False

    async def reconcile(self, key: Key) -> None:
        """Bring one resource's children and status to what its spec asks for."""
        resource = self.store.resource(key)
        if resource is None or resource.deleting:  # the rest is the garbage collector's
            self._forget(key)
            return
        service, desired, problems = self._read(resource)
        if service:
            problems = await self.prerequisites.missing(service)
        observed = self._observe(resource)
        if service:
            plan = rollout.step(desired, observed)
            if problems:  # nothing new is begun, and what there was is kept
                plan = self.writer.as_before(plan, resource)
            problems += await self.writer.carry_out(plan, resource)
        if any(p.passing for p in problems) and self.queue.failures(key) < _UNTOLD:
            self.queue.retry(key)
            return
        situation = self._situation(resource, service, problems)
        wrote = situation.observed.children != observed.children
        wait = await self.reporter.report(resource, status.compute(situation), wrote=wrote)
        if problems and service:  # an unreadable spec waits for the next one, not for time
            self._try_again(key, problems)
        else:
            self.queue.forget(key)
        for seconds in (wait, status.due(situation)):
            if seconds:
                self.queue.add_after(key, seconds)
        if self._overtaken(observed, problems):
            self.queue.add(key)

    def _try_again(self, key: Key, problems: list[Problem]) -> None:
        if again := min(problem.again for problem in problems):
            self.queue.forget(key)
            self.queue.add_after(key, again)
        else:
            self.queue.retry(key)

    def _overtaken(self, observed: Observed, problems: list[Problem]) -> bool:
        """Did an answer to a write bring what nobody acted upon? Its event will be old news.

        With a problem the retry looks at the children again.
        """
        now = self.store.resource(observed.resource.key)
        if now is None or now.generation != observed.resource.generation:
            return True
        return not problems and self._observe(now).children != observed.children

    def _read(self, resource: Resource) -> tuple[LLMService | None, list[Manifest], list[Problem]]:
        try:
            service = LLMService.parse(resource.manifest)
            desired = self.desired.children(resource, service)
        except InvalidSpec as fault:
            return None, [], [Problem(Reason.INVALID_SPEC, str(fault), stalled=True)]
        except Exception as fault:
            log.exception("the spec cannot be read or rendered")
            words = f"a fault of the operator, {type(fault).__name__}: see its log, and report it"
            return None, [], [Problem(Reason.INTERNAL_ERROR, words, stalled=True)]
        return service, desired, []

    def _observe(self, resource: Resource) -> Observed:
        children, pods = self.store.owned_by(resource.uid), self.store.pods(resource.key)
        unseen = self.store.unseen(resource.key.namespace)
        return Observed(resource, tuple(children), tuple(pods), frozenset(unseen))

    def _situation(
        self, resource: Resource, service: LLMService | None, problems: list[Problem]
    ) -> status.Situation:
        observed = self._observe(resource)
        fitting = None
        if service and any(pod.unschedulable is not None for pod in observed.pods):
            fitting = self.places.status(resource.key, service)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = self.inquiry.said(observed)
        complained = self.complaints.seconds(resource.key, status.complains(observed))
        return status.Situation(service, observed, problems, fitting, now, said, complained)

    def _forget(self, key: Key) -> None:
        self.desired.forget(key)
        self.prerequisites.forget(key)
        self.writer.forget(key)
        self.reporter.forget(key)
        self.complaints.forget(key)
        self.queue.forget(key)

    async def lead(self) -> None:
        """Look at everyone, each time that we are elected, for what happened while another led is
        in the store only. Then another writes them, and what we know of it is history.
        """
        while True:
            await self.leader.elected.wait()
            for key in self.store.everyone():
                self.queue.add(key)
            await self.leader.deposed.wait()
            for key in self.store.everyone():
                self._forget(key)

    async def work(self) -> None:
        """One worker, for as long as there is no drain()."""
        while not self._draining:
            await self.leader.elected.wait()
            key = await self.queue.get()
            if self._draining:
                return
            self._busy += 1
            self._idle.clear()
            try:
                if self.leader.elected.is_set():
                    await self._attempt_told(key)
                if self.leader.deposed.is_set():  # lead() forgot all, and will ask for all
                    self._forget(key)
            finally:
                self.queue.done(key)
                self._busy -= 1
                if not self._busy:
                    self._idle.set()

    async def drain(self, seconds: float) -> None:
        """Begin no reconcile any more, and wait so long for those under way."""
        self._draining = True
        if self._busy:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), seconds)

    async def _attempt_told(self, key: Key) -> None:
        """With its metrics, its span, and its name in the log."""
        number = secrets.token_hex(4)
        with self.spans.reconcile(key, number) as span:
            current = logs.current.set(logs.Reconcile(key, number, span.trace_id))
            try:
                with metrics.workers_busy.track_inprogress(), metrics.reconcile_seconds.time():
                    result = await self._attempt(key)
                metrics.reconciles.labels(metrics.CONTROLLER, result).inc()
                span.ends(result)
            finally:
                logs.current.reset(current)

    async def _attempt(self, key: Key) -> str:
        try:
            await self.reconcile(key)
        except NotLeadingError:
            # All keys are queued when we are elected, but a lease that is only renewed late
            # elects nobody.
            self.queue.retry(key)
            return "requeue"
        except ApiError as error:
            seconds = self.queue.retry(key, error.retry_after)
            # A write that came too late for what it was based on is a matter of course.
            level = logging.DEBUG if error.code == 409 else logging.WARNING
            log.log(level, "%s; again in %.1f s", error, seconds)
        except asyncio.CancelledError:
            raise
        except Exception:
            seconds = self.queue.retry(key)
            log.exception("reconcile failed; again in %.1f s", seconds)
        else:
            return "success"
        metrics.reconcile_errors.inc()
        return "error"
