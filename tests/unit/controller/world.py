"""One cluster and the operator in it, as a model that a test moves on step by step.

The reconcile, the writer, the store and the pure parts are the real ones; only the API server
(model_server.py) and the queue are models. A reconcile runs when the test says so, and what it
asks for is noted. The operator may be replaced by a fresh one at any time, and no ConfigMap may go
that a pod has or could start with.
"""

import copy
import random
from collections.abc import Iterator
from typing import Any, cast

from llmservice_operator import records
from llmservice_operator.api import Manifest
from llmservice_operator.apply import Writer
from llmservice_operator.client import ApiError, Client
from llmservice_operator.controller import Controller
from llmservice_operator.desired import Desired
from llmservice_operator.events import Recorder
from llmservice_operator.kinds import CHILDREN
from llmservice_operator.leader import Leader
from llmservice_operator.loading import Inquiry
from llmservice_operator.places import Places
from llmservice_operator.prerequisites import Prerequisites
from llmservice_operator.records import Key
from llmservice_operator.render import RenderDefaults
from llmservice_operator.report import Reporter
from llmservice_operator.store import Store

from tests.unit.controller.model_server import Crash, ModelServer, Name

_KEY = Key("ns", "x")
RESOURCE: Name = ("LLMService", "x")
DEFAULTS = RenderDefaults(server_image="server:1")
SPECS: list[Manifest] = [
    {},
    {"replicas": 3},
    {"autoscaling": {"min": 2, "max": 4}},
    {"engine": {"args": {"max-model-len": 2048}}},
    {"engine": {"image": "server:2"}, "replicas": 2},
    {"disruption": {"maxUnavailable": 2}},
    {"expose": {"service": {"port": 8080, "annotations": {"a": "b"}}}},
    {"model": {"uri": "hf://"}},  # cannot be read
]


class World:
    def __init__(self) -> None:
        self.server = ModelServer()
        self.foreign: dict[Name, Manifest] = {}
        self._overtaken: dict[Name, Manifest] = {}
        self._old_lists: list[tuple[str, list[Any], int]] = []
        self._streamed = 0  # events of the server
        self.pods: dict[str, Manifest] = {}
        self.server.on_delete = self._deleted
        self.queue = _Queue()
        self.restart()

    def restart(self) -> None:
        self.store = Store()
        client = cast("Client", self.server)
        leader = Leader("ns", "lease", "me", lambda: 0.0)
        self.controller = Controller(
            self.store,
            cast("Any", self.queue),
            leader,
            Prerequisites(client),
            Writer(client, self.store),
            Places(self.store, self.queue.add, sees_nodes=True),
            Inquiry(self.store, leader.leads, self.queue.add),
            Reporter(client, self.store, Recorder(client, "me")),
            Desired(DEFAULTS),
        )
        self.relist()

    def relist(self) -> None:
        """What a complete list of every kind brings."""
        for kind, listed, version in self.lists():
            self._told(self.store.replace(kind, "", listed, version))

    def lists(self) -> Iterator[tuple[str, list[Any], int]]:
        for kind in ("LLMService", *CHILDREN):
            names = [name for name in self.server.objects if name[0] == kind]
            parse: Any = records.resource if kind == "LLMService" else records.child
            found = [parse(self.server.shown(name)) for name in names]
            ours = [r for r in found if kind == "LLMService" or self._labelled(r)]
            yield kind, ours, self.server.clock
        yield "Pod", [records.pod(pod) for pod in self.pods.values()], self.server.clock

    def overtaken_lists(self, *, arrive: bool) -> None:
        """Lists are answered now, and arrive only when this is called again."""
        if not arrive:
            self._old_lists = list(self.lists())
        for kind, listed, version in self._old_lists if arrive else ():
            self._told(self.store.replace(kind, "", listed, version))

    def _told(self, keys: frozenset[Key]) -> None:
        self.queue.due |= _KEY in keys

    def _labelled(self, child: records.Child) -> bool:
        shown = self.server.shown((child.ref.kind, child.ref.name))
        return "app.kubernetes.io/managed-by" in shown["metadata"].get("labels", {})

    def hear(self, *, old: bool) -> None:
        """An event for each object arrives, perhaps one that was overtaken by what we know."""
        for name in list(self.server.objects):
            now = self.server.shown(name)
            shown = self._overtaken.get(name, now) if old else now
            self._overtaken[name] = now
            if name == RESOURCE:
                self._told(self.store.put(records.resource(shown)))
            elif "app.kubernetes.io/managed-by" in shown["metadata"].get("labels", {}):
                self._told(self.store.put(records.child(shown)))

    def stream(self, again: int, seed: int) -> None:
        """New events, and so many from before, come twice and in any order."""
        events = self.server.events[max(0, self._streamed - again) :] * 2
        self._streamed = len(self.server.events)
        random.Random(seed).shuffle(events)
        for what, shown in events:
            if "app.kubernetes.io/managed-by" in shown["metadata"].get("labels", {}):
                record: Any = records.child(shown)
            elif shown["kind"] == "LLMService":
                record = records.resource(shown)
            else:
                continue
            self._told(self.store.remove(record) if what == "DELETED" else self.store.put(record))
        pods = [records.pod(pod) for pod in self.pods.values()]
        self._told(self.store.replace("Pod", "", pods, self.server.clock))

    async def reconcile(self) -> None:
        self.queue.due = False
        try:
            await self.controller.reconcile(_KEY)
        except Crash:
            self.restart()
        except ApiError:
            self.queue.retry(_KEY)

    def lost_at_once(self, name: Name) -> None:
        """What the operator has just written is deleted, and it hears of it before the answer."""
        if name[0] in CHILDREN:
            shown = self.server.shown(name)
            self.server.remove(name)
            shown["metadata"]["resourceVersion"] = str(self.server.clock)
            self._told(self.store.remove(records.child(shown)))

    def _deleted(self, name: Name) -> None:
        known = {config for pod in self.store.pods(_KEY) for config in pod.config_maps}
        assert name[1] not in known, "a pod has it, and would not start again"
        assert name[1] not in self._config_maps(), "the Deployment's next pod would not start"

    def _config_maps(self) -> set[str]:
        deployment = self.server.objects.get(("Deployment", "x"))
        if deployment is None or ("Deployment", "x") in self.foreign:
            return set()
        volumes = deployment.content["spec"]["template"]["spec"]["volumes"]
        return {v["configMap"]["name"] for v in volumes if "configMap" in v}

    # What users, controllers and others do.

    def start_pod(self) -> None:
        """Of the revision that the Deployment has now."""
        for config in self._config_maps():
            name = f"pod-{config}"
            self.server.clock += 1
            metadata = {"name": name, "namespace": "ns", "uid": name}
            metadata["resourceVersion"] = str(self.server.clock)
            volume = {"name": "config", "configMap": {"name": config}}
            labels = {"app.kubernetes.io/instance": "x"}
            pod = {"kind": "Pod", "metadata": {**metadata, "labels": labels}}
            self.pods[name] = {**pod, "spec": {"volumes": [volume]}}

    def end_pods(self) -> None:
        self.pods.clear()
        self.server.clock += 1

    def settle_deployments(self) -> None:
        """The Deployment controller: every rollout is complete, no pod of an older one is left."""
        for (kind, name), stored in self.server.objects.items():
            if kind == "Deployment":
                number = stored.content["spec"]["replicas"]
                seen = {"observedGeneration": stored.generation}
                status = {**seen, "replicas": number, "updatedReplicas": number}
                if stored.status != status:
                    self.server.report((kind, name), status)

    def write_spec(self, number: int) -> None:
        spec = {"model": {"uri": "hf://org/model-7B"}, **SPECS[number]}
        content = copy.deepcopy({"kind": "LLMService", "metadata": {"name": "x"}, "spec": spec})
        known = self.server.objects.get(RESOURCE)
        if known is not None and "spec" in known.content:
            known.content["spec"] = {}
            known.owners = {}
        self.server.applied(content, "user")

    def occupy(self, kind: str, *, labelled: bool) -> None:
        name = (kind, "x")
        if name not in self.server.objects:
            labels = {"app.kubernetes.io/managed-by": "llmservice-operator"} if labelled else {}
            metadata = {"name": "x", "labels": {"theirs": "yes", **labels}}
            self.server.applied({"kind": kind, "metadata": metadata, "spec": {"a": 1}}, "other")
            self.foreign[name] = self.server.shown(name)

    def drift(self, kind: str, what: str) -> None:
        for name in [n for n in self.server.objects if n[0] == kind and n not in self.foreign]:
            if what == "delete":
                self.server.remove(name)
            elif what == "edit":
                self.server.edit(name, ("metadata", "labels", "app.kubernetes.io/name"), "z", "ed")
            elif what == "add":
                self.server.edit(name, ("metadata", "labels", "extra"), "yes", "ed")
            elif what == "scale" and kind == "Deployment":
                self.server.edit(name, ("spec", "replicas"), 4, "hpa")


class _Queue:
    """Of the one key: is it asked for? When, the test says."""

    def __init__(self) -> None:
        self.due, self._failures = False, 0

    def add(self, _: Key) -> None:
        self.due = True

    def add_after(self, _: Key, seconds: float) -> None:
        self.due = True

    def retry(self, _: Key) -> float:
        self.due, self._failures = True, self._failures + 1
        return 0.0

    def failures(self, _: Key) -> int:
        return self._failures

    def forget(self, _: Key) -> None:
        self._failures = 0
