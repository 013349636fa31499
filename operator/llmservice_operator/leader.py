"""One operator process writes at a time: the holder of a Lease.

Promises: check() raises where this process may no longer believe that it leads, by its own
monotonic clock, and is asked right before each write; a lease that is not renewed is taken over
DURATION after its last change was seen; after resign() no write begins, and release() gives the
lease up at once. Wall clocks are compared nowhere. Never: a write of anything but the Lease.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from llmservice_operator import metrics
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.client import ApiError, Client
from llmservice_operator.kinds import LEASE

# Seconds. Others take over DURATION after they saw the last change, and look each RETRY; we stop
# beginning writes DEADLINE after our last renewal began. A write that takes longer than the rest
# may still arrive when another leads: its preconditions keep it off the objects of others, and its
# watch event leads the new leader to put right what it changed.
DURATION, DEADLINE, RENEW, RETRY = 12, 9.0, 5.0, 1.0
_PATIENCE = 6.0  # for one renewal, so that a dead connection leaves time for another try

log = logging.getLogger(__name__)


class NotLeadingError(Exception):
    """A write was stopped: another process may lead by now."""


@dataclass(frozen=True)
class _Seen:
    """The lease as last seen; what matters is when it changed by our clock, not what it says."""

    holder: str
    version: str
    at: float


class Leader:
    def __init__(
        self, namespace: str, name: str, identity: str, clock: Callable[[], float]
    ) -> None:
        """namespace, name: of the Lease. clock: seconds; it never goes back."""
        self.namespace, self.name, self.identity, self._clock = namespace, name, identity, clock
        self._held_until, self._resigned = float("-inf"), False
        self._seen: _Seen | None = None
        self._ours: Manifest | None = None  # as the server has it, while we hold it
        self.elected, self.deposed = asyncio.Event(), asyncio.Event()

    def leads(self) -> bool:
        return not self._resigned and self._clock() < self._held_until

    def check(self) -> None:
        """Right before a write. Raises NotLeadingError."""
        if not self.leads():
            raise NotLeadingError("the lease is not ours, or was not renewed in time")

    async def run(self, client: Client) -> None:
        """Take the lease when it is free and keep it. Ends only by cancellation."""
        while True:
            started = self._clock()
            try:
                async with asyncio.timeout(_PATIENCE):  # 3.11's wait_for may swallow a cancellation
                    await self._round(client, started)
            except (ApiError, TimeoutError) as error:
                self._ours = None
                log.warning(
                    "lease %s/%s: %s", self.namespace, self.name, error or "no answer in time"
                )
            self._announce()
            pause = RENEW if self._ours else RETRY * random.uniform(0.8, 1.2)  # noqa: S311
            await asyncio.sleep(max(0.0, started + pause - self._clock()))

    def resign(self) -> None:
        """Begin no write any more; those on the wire may end before release()."""
        self._resigned = True

    async def release(self, client: Client) -> None:
        """Let another process lead at once."""
        held, self._held_until = self._clock() < self._held_until, float("-inf")
        self._announce()
        known = self._ours if held else None
        while held:
            lease = known or await client.get(LEASE, self.namespace, self.name)
            spec: Manifest = lease.get("spec") or {}
            if spec.get("holderIdentity") != self.identity:
                return
            lease["spec"] = spec | {"holderIdentity": "", "leaseDurationSeconds": 1}
            try:
                await client.replace(LEASE, lease)
            except ApiError as error:
                if error.code != 409 or known is None:
                    raise
                known = None  # a renewal was on the wire when we were told to end
            else:
                log.info("lease %s/%s: given up", self.namespace, self.name)
                return

    async def _round(self, client: Client, started: float) -> None:
        try:
            lease = self._ours or await client.get(LEASE, self.namespace, self.name)
            if not self._may_take(lease, started):
                return
            # The resourceVersion in it makes the server refuse where somebody was faster.
            self._ours = await client.replace(LEASE, self._lease(lease))
        except ApiError as error:
            if error.code != 404:
                raise
            self._ours = await client.create(LEASE, self._lease({}))
        self._held_until = started + DEADLINE

    def _may_take(self, lease: Manifest, now: float) -> bool:
        spec: Manifest = lease.get("spec") or {}  # somebody may have made it, and nobody held it
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self.identity):
            return True
        version = lease["metadata"]["resourceVersion"]
        if self._seen is None or self._seen.version != version:
            self._seen = _Seen(holder, version, now)
        self._held_until = float("-inf")  # whatever we believed, it names another
        lasts = spec.get("leaseDurationSeconds") or DURATION
        return now - self._seen.at > lasts

    def _lease(self, known: Manifest) -> Manifest:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec: Manifest = known.get("spec") or {}
        ours = spec.get("holderIdentity") == self.identity
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": known.get("metadata", {"name": self.name, "namespace": self.namespace}),
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": DURATION,
                "acquireTime": spec.get("acquireTime", now) if ours else now,
                "renewTime": now,
                "leaseTransitions": spec.get("leaseTransitions", 0) + (0 if ours else 1),
            },
        }

    def _announce(self) -> None:
        leads = self.leads()
        if leads != self.elected.is_set():
            log.info(
                "lease %s/%s: %s", self.namespace, self.name, "leading" if leads else "not leading"
            )
        metrics.leader.set(int(leads))
        now, before = (self.elected, self.deposed) if leads else (self.deposed, self.elected)
        now.set()
        before.clear()


def monotonic() -> float:
    """Seconds that go on while the machine sleeps, where the system has such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
