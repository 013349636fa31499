"""What happens in the cluster → the store → keys. The only module that knows kopf.

kopf watches the LLMServices; everything else that concerns them (children and pods by our label,
nodes and what other pods take of them, where we may see that) has a reflector of ours, on the same
connections. kopf does not say when its first list is complete, nor what was deleted while its watch
was down, and an error that it does not expect ends it. So kopf's lists are made empty, but for the
version that it watches from, and each is followed by one of ours, which the store compares with
what it has; a kopf that ended is started again after a back-off.

One of several namespaces may be refused to us: it was deleted, and our Role with it. It is left
out, with a warning, and looked at again and again; kopf starts anew without it, and with it.

Promises: synced() only after every kind's first complete list; no missed deletion; no end but
cancellation.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any, Protocol

import aiohttp
import kopf

from llmservice_operator import backoff, metrics, placement, records
from llmservice_operator.api.pod import MANAGED_BY
from llmservice_operator.api.resource import GROUP
from llmservice_operator.client import PAGE, ApiError, Client, Selection
from llmservice_operator.kinds import CHILDREN, LLM_SERVICE, NODE, POD
from llmservice_operator.placement import NodeFacts, Scheduled
from llmservice_operator.records import FIELD_MANAGER, Key
from llmservice_operator.reflector import SILENCE, Reflector
from llmservice_operator.store import Record, Store

OURS, FOREIGN = f"{MANAGED_BY}={FIELD_MANAGER}", f"{MANAGED_BY}!={FIELD_MANAGER}"
# Pods that take something of a node, as the scheduler sees it too.
SCHEDULED = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds
_NOT_OURS = frozenset({403, 404})  # what an absent namespace, or one without our Role, answers
_STREAM = 300  # seconds until the server ends kopf's stream; of bookmarks kopf does not tell us
FIRST_LIST = 30.0  # seconds that kopf may take until it lists
LOOK_AGAIN = 10.0  # seconds, at a namespace that was refused
SOON = 0.3  # seconds: a Deployment and its pods change many times in a row, one look does for all
_NOTHING = "metadata.name=-"  # no object has that name
SCENERY_WAIT = 10.0  # seconds, for what only explains

log = logging.getLogger(__name__)


class Changed(Protocol):
    """Somebody has to look at that key, within so many seconds."""

    def __call__(self, key: Key, within: float = 0.0) -> None: ...


class Watch:
    def __init__(
        self,
        client: Client,
        namespaces: Collection[str],
        store: Store,
        changed: Changed,
        on_kopf_started: Callable[[], None],
    ) -> None:
        """changed is called with each key that something happened to, and the seconds that may pass
        until somebody looks at it; on_kopf_started after kopf has put its own signal handlers in
        place, so that the caller can take them back.
        """
        self._client, self.store, self._changed = client, store, changed
        self._scopes = sorted(namespaces) or [""]
        self._refused: frozenset[str] = frozenset()
        self._scopes_changed = asyncio.Event()
        self._on_kopf_started = on_kopf_started
        self._kopf_lists = False
        self._listed, self._relist = asyncio.Event(), asyncio.Event()
        self._reflectors: list[Reflector[Any]] = [
            Reflector(client, Selection(kind, scope, OURS), parse, _Into(self, kind.name, scope))
            for scope in self._scopes
            for kind, parse in [
                *((kind, records.child) for kind in CHILDREN.values()),
                (POD, records.pod),
            ]
        ]
        self._scenery: list[Reflector[Any]] = []
        if self._scopes == [""]:  # nodes are the cluster's; a namespaced operator may not see them
            foreign = Selection(POD, "", FOREIGN, SCHEDULED, page=100)
            self._scenery = [
                Reflector(client, Selection(NODE, page=100), placement.node, _Nodes(store)),
                Reflector(client, foreign, placement.scheduled, _Foreign(store)),
            ]
        self._began = self._heard = time.monotonic()

    def synced(self) -> bool:
        """For good: where a later list fails, or the very kind is gone, what was seen last is what
        there is to act upon, and another process would know no more.
        """
        served = {scope for scope in self._scopes if scope not in self._refused}
        mine = (r for r in self._reflectors if r.selection.namespace in served)
        known = all(r.synced.is_set() or r.refused for r in mine)
        return self._listed.is_set() and known and self._explains()

    def _explains(self) -> bool:
        """Nodes and foreign pods only explain: nothing else waits for them for long."""
        waited = time.monotonic() - self._began
        return waited > SCENERY_WAIT or all(seen.synced.is_set() for seen in self._scenery)

    def silent(self) -> list[tuple[str, float]]:
        """Each watch, and for how many seconds it gave no sign of life."""
        now = time.monotonic()
        seen = [(str(r), now - r.heard) for r in (*self._reflectors, *self._scenery)]
        return [*seen, (LLM_SERVICE.plural, now - self._heard)]

    async def wait_synced(self) -> None:
        while not self.synced():  # noqa: ASYNC110 - on what it waits changes while it waits
            await asyncio.sleep(0.1)

    def _reflected(self, scope: str) -> bool:
        mine = (r for r in self._reflectors if r.selection.namespace == scope)
        return all(reflector.synced.is_set() for reflector in mine)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for reflector in (*self._reflectors, *self._scenery):
                tasks.create_task(reflector.run())
            tasks.create_task(self._run_kopf())
            tasks.create_task(self._follow_lists())

    def tell(self, keys: Iterable[Key], within: float = 0.0) -> None:
        for key in keys:
            self._changed(key, within)

    # LLMServices, through kopf.

    async def _run_kopf(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self._list_services()  # kopf passes over a kind that is not served yet
                await self._kopf_until_it_ends()
                how, why = "ended", "ended"
                failures = 0 if self._scopes_changed.is_set() else failures
            except Exception as error:  # noqa: BLE001 - kopf escalates whatever it met
                how, why = "failed", str(error)
            metrics.watch_restarts.labels(LLM_SERVICE.name, how).inc()
            failures = 1 if time.monotonic() - began > LONGEST_PAUSE else failures + 1
            pause = backoff.seconds(failures, FIRST_PAUSE, LONGEST_PAUSE)
            self._heard = time.monotonic() + pause
            log.warning("watch of %s: %s; again in %.1f s", LLM_SERVICE.plural, why, pause)
            await asyncio.sleep(pause)

    async def _kopf_until_it_ends(self) -> None:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        kopf.on.event(GROUP, LLM_SERVICE.plural, registry=registry)(self._seen)
        self._scopes_changed.clear()
        scopes = [scope for scope in self._scopes if scope not in self._refused]
        cluster_wide = scopes == [""]
        tasks = await kopf.spawn_tasks(
            registry=registry,
            settings=_kopf_settings(),
            standalone=True,
            clusterwide=cluster_wide,
            namespaces=[] if cluster_wide else scopes,
            stop_flag=self._scopes_changed,
        )
        self._on_kopf_started()
        self._kopf_lists = False
        look = asyncio.get_running_loop().call_later(FIRST_LIST, self._end_kopf_without_list)
        try:
            await kopf.run_tasks(tasks, ignored=_AllTasks())
        finally:
            look.cancel()

    def _end_kopf_without_list(self) -> None:
        """Where discovery did not name the kind yet, kopf watches nothing and looks no more."""
        if not self._kopf_lists:
            self._scopes_changed.set()

    async def _login(self, **_: Any) -> kopf.AiohttpSession:
        session = aiohttp.ClientSession(
            connector=self._client.connector, connector_owner=False, middlewares=(self._as_us,)
        )
        return kopf.AiohttpSession(server=self._client.connection.server, aiohttp_session=session)

    async def _as_us(
        self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """With our credentials, on our count, and to a list no more than its version."""
        request.headers.update(self._client.connection.headers())
        url, verb, kind = request.url, "get", ""  # what kinds there are
        if url.path.endswith(f"/{LLM_SERVICE.plural}"):
            verb, kind = "watch" if "watch" in url.query else "list", LLM_SERVICE.name
        if verb == "list":
            request.url = url.update_query(fieldSelector=_NOTHING)
        try:
            response = await send(request)
        except (aiohttp.ClientError, TimeoutError):
            self._client.count("<error>", verb, kind)
            raise
        self._client.count(str(response.status), verb, kind)
        self._heard = time.monotonic()
        if verb == "list":
            self._kopf_lists = True
            self._relist.set()
        return response

    async def _seen(self, event: Any, **_: Any) -> None:
        self._heard = time.monotonic()
        record = records.resource(event["object"])
        gone = event["type"] == "DELETED"
        self.tell(self.store.remove(record) if gone else self.store.put(record))

    async def _follow_lists(self) -> None:
        failures = 0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN if self._refused else None):
                    await self._relist.wait()
            self._relist.clear()
            try:
                await self._list_services()
                failures = 0
            except ApiError as error:
                failures += 1
                pause = backoff.seconds(failures, FIRST_PAUSE, LONGEST_PAUSE)
                pause = max(pause, error.retry_after)
                log.warning("list of %s: %s; again in %.1f s", LLM_SERVICE.plural, error, pause)
                await asyncio.sleep(pause)
                self._relist.set()

    async def _list_services(self) -> None:
        refused: dict[str, object] = {}
        for scope in self._scopes:
            if scope in self._refused and not self._reflected(scope):
                refused[scope] = "not seen again yet"  # children and pods before their owners
                continue
            try:
                selection = Selection(LLM_SERVICE, scope)
                listed, version = await self._client.list(selection, records.resource)
            except ApiError as error:
                if error.code not in _NOT_OURS or len(refused) + 1 == len(self._scopes):
                    raise
                refused[scope] = error
            else:
                self.tell(self.store.replace(LLM_SERVICE.name, scope, listed, version))
        self._leave_out(refused)
        self._listed.set()

    def _leave_out(self, refused: dict[str, object]) -> None:
        for scope in refused.keys() - self._refused:
            log.warning("namespace %s is left out: %s", scope, refused[scope])
            self.tell(self.store.leave_out(scope))
        for scope in self._refused - refused.keys():
            log.info("namespace %s is served again", scope)
        if self._refused != refused.keys():
            self._refused = frozenset(refused)
            self._scopes_changed.set()


class _Into:
    """A reflector's sink: children and pods into the store."""

    def __init__(self, watch: Watch, kind: str, scope: str) -> None:
        self._watch, self._kind, self._scope = watch, kind, scope

    def put(self, record: Record) -> None:
        self._watch.tell(self._watch.store.put(record), SOON)

    def remove(self, record: Record) -> None:
        self._watch.tell(self._watch.store.remove(record))

    def replace(self, records: list[Record], version: int) -> None:
        store = self._watch.store
        self._watch.tell(store.replace(self._kind, self._scope, records, version))
        self._watch.tell(store.refuse(self._kind, self._scope, ""))

    def refused(self, why: str) -> None:
        self._watch.tell(self._watch.store.refuse(self._kind, self._scope, why))


class _Nodes:
    """A reflector's sink: nodes. Nobody but the watch brings them, so its order is theirs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, record: NodeFacts) -> None:
        self._store.put_node(record)

    def remove(self, record: NodeFacts) -> None:
        self._store.remove_node(record.name)

    def replace(self, records: list[NodeFacts], version: int) -> None:
        del version
        self._store.replace_nodes(records)

    def refused(self, why: str) -> None:
        """They only explain: places.py says that they are not known."""


class _Foreign:
    """A reflector's sink: pods that others made, for what they take of their nodes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, record: Scheduled) -> None:
        self._store.put_foreign(record)

    def remove(self, record: Scheduled) -> None:
        self._store.remove_foreign(record.name)

    def replace(self, records: list[Scheduled], version: int) -> None:
        del version
        self._store.replace_foreign(records)

    def refused(self, why: str) -> None:
        """They only explain: places.py says that they are not known."""


class _AllTasks(Collection[Any]):
    """kopf cancels what runs when it ends and did not run when it began, unless it is in here."""

    def __contains__(self, _: object) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


class _NoDiffs(kopf.DiffBaseStorage):
    """kopf copies each object with each event, for differences that nobody here asks for."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.queueing.idle_timeout = 1
    settings.watching.chunk_size = PAGE
    settings.watching.server_timeout = _STREAM
    settings.watching.inactivity_timeout = SILENCE  # kopf hears the bookmarks, as our reflectors do
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    return settings
