"""What was seen of the cluster, by kind and name, and who owns it.

Promises: an older resourceVersion never overwrites a newer one, so that the answer to a write
may be put here at once and a late watch event cannot undo it; what is gone does not come back
with an answer, an event or a list that was overtaken, as long as one may be on its way; a complete
list removes what it lacks. Every change is reported as the keys of the LLMServices that it may
concern; nothing changed gives no keys. Never: any I/O, any object whole, any Secret.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.kinds import LLM_SERVICE, POD
from llmservice_operator.placement import NodeFacts, Place, Scheduled, Taken
from llmservice_operator.records import Child, Key, Pod, Ref, Resource

Record = Resource | Child | Pod
NONE: frozenset[Key] = frozenset()
# Seconds that we know of what went. An answer takes less than a minute, and the pages of a list
# expire after five.
ON_ITS_WAY = 600.0


def _nobody() -> None:
    """Nobody waits for a node yet."""


class Store:
    """One operator's view. Not thread-safe: the event loop is the lock."""

    def __init__(self) -> None:
        self._resources: dict[Key, Resource] = {}
        self._children: dict[Ref, Child] = {}
        self._by_owner: defaultdict[str, set[Ref]] = defaultdict(set)
        self._pods: dict[Ref, Pod] = {}
        self._pods_of: defaultdict[Key, set[Ref]] = defaultdict(set)
        self._gone: dict[tuple[str, str, str], tuple[int, float]] = {}  # as of when, heard when
        self._unseen: dict[tuple[str, str], str] = {}
        self._nodes: dict[str, NodeFacts] = {}
        self._foreign: dict[str, Place] = {}
        self.taken = Taken()
        self.on_moved: Callable[[], None] = _nobody
        """Called when a node changed, or what is taken of one."""
        self.knows_nodes = self.knows_foreign = False

    # What the controller reads.

    def everyone(self) -> list[Key]:
        return list(self._resources)

    def statuses(self) -> list[Manifest]:
        """Of all LLMServices."""
        return [resource.status for resource in self._resources.values()]

    def resource(self, key: Key) -> Resource | None:
        return self._resources.get(key)

    def child(self, ref: Ref) -> Child | None:
        return self._children.get(ref)

    def owned_by(self, uid: str) -> list[Child]:
        return [self._children[ref] for ref in sorted(self._by_owner.get(uid, ()))]

    def pods(self, key: Key) -> list[Pod]:
        return [self._pods[ref] for ref in sorted(self._pods_of.get(key, ()))]

    def unseen(self, namespace: str) -> dict[str, str]:
        """The kinds that we may not watch there, each with the API server's words."""
        return {k: why for (k, scope), why in self._unseen.items() if scope in ("", namespace)}

    def nodes(self) -> list[NodeFacts]:
        return list(self._nodes.values())

    def waiting_for_nodes(self) -> frozenset[Key]:
        """The LLMServices of pods that no node could take."""
        waiting = (pod for pod in self._pods.values() if pod.unschedulable is not None)
        return NONE.union(*(concerned(pod) for pod in waiting))

    # What the watches and the answers to writes bring.

    def put(self, record: Record) -> frozenset[Key]:
        if record.version <= self._gone.get(_full_name(record), (-1, 0.0))[0]:
            return NONE
        if isinstance(record, Resource):
            known = self._resources.get(record.key)
            if known is None or record.version > known.version:
                self._resources[record.key] = record
                return frozenset({record.key})
            return NONE
        if isinstance(record, Child):
            return self._put_child(record)
        return self._put_pod(record)

    def _put_child(self, new: Child) -> frozenset[Key]:
        old = self._children.get(new.ref)
        if old is not None and new.version <= old.version:
            return NONE
        self._children[new.ref] = new
        if old is not None and old.owner != new.owner:
            self._disown(old)
        if new.owner is not None:
            self._by_owner[new.owner].add(new.ref)
        return concerned(new) | (concerned(old) if old else NONE)

    def _put_pod(self, new: Pod) -> frozenset[Key]:
        old = self._pods.get(new.ref)
        if old is not None and new.version <= old.version:
            return NONE
        if old is not None:
            self._forget_pod(old)
        self._move(old and old.place, new.place)
        self._pods[new.ref] = new
        self._pods_of[Key(new.ref.namespace, new.instance)].add(new.ref)
        return concerned(new) | (concerned(old) if old else NONE)

    def remove(self, record: Record) -> frozenset[Key]:
        """The object is gone as of record.version; a newer one of that name stays."""
        known = self._known(record)
        if known is not None and known.version > record.version:
            return NONE
        self._remember_gone(record, record.version)
        return self._drop(known) if known else NONE

    def _drop(self, known: Record) -> frozenset[Key]:
        if isinstance(known, Resource):
            del self._resources[known.key]
        elif isinstance(known, Child):
            del self._children[known.ref]
            self._disown(known)
        else:
            self._forget_pod(known)
            self._move(known.place, None)
        return concerned(known)

    def replace(
        self, kind: str, namespace: str, listed: Iterable[Record], version: int
    ) -> frozenset[Key]:
        """A complete list of a kind (of one namespace, or "" for all), taken at version.

        What the list lacks was deleted while nobody watched, unless it is newer than the list.
        """
        records = list(listed)
        present = {_name(record) for record in records}
        gone = [
            known
            for known in self._of_kind(kind, namespace)
            if _name(known) not in present and known.version <= version
        ]
        for known in gone:
            self._remember_gone(known, version)
        return NONE.union(*map(self._drop, gone), *map(self.put, records))

    def leave_out(self, namespace: str) -> frozenset[Key]:
        """Its LLMServices are not ours to look at now, and may be again as they are."""
        return NONE.union(*map(self._drop, list(self._of_kind(LLM_SERVICE.name, namespace))))

    def refuse(self, kind: str, namespace: str, why: str) -> frozenset[Key]:
        """We may not watch that kind there ("" for everywhere); why is "" once we may."""
        was = self._unseen.pop((kind, namespace), "")
        if why:
            self._unseen[kind, namespace] = why
        concerns = (key for key in self._resources if namespace in ("", key.namespace))
        return frozenset(concerns) if was != why else NONE

    def _remember_gone(self, record: Record, version: int) -> None:
        name, now = _full_name(record), time.monotonic()
        before, _ = self._gone.pop(name, (version, now))  # to the end of the order
        self._gone[name] = max(before, version), now
        while next(iter(self._gone.values()))[1] < now - ON_ITS_WAY:
            del self._gone[next(iter(self._gone))]

    def put_node(self, node: NodeFacts) -> None:
        if self._nodes.get(node.name) != node:  # a heartbeat alone is no news
            self._nodes[node.name] = node
            self.on_moved()

    def remove_node(self, name: str) -> None:
        if self._nodes.pop(name, None) is not None:
            self.on_moved()

    def replace_nodes(self, nodes: Iterable[NodeFacts]) -> None:
        self._nodes, self.knows_nodes = {node.name: node for node in nodes}, True
        self.on_moved()

    def put_foreign(self, pod: Scheduled) -> None:
        self._move(self._foreign.pop(pod.name, None), pod.place)
        if pod.place is not None:
            self._foreign[pod.name] = pod.place

    def remove_foreign(self, name: str) -> None:
        self._move(self._foreign.pop(name, None), None)

    def replace_foreign(self, listed: Iterable[Scheduled]) -> None:
        new = {pod.name: pod for pod in listed}
        for name in self._foreign.keys() - new.keys():
            self.remove_foreign(name)
        for pod in new.values():
            self.put_foreign(pod)
        self.knows_foreign = True
        self.on_moved()

    def _move(self, old: Place | None, new: Place | None) -> None:
        if self.taken.move(old, new):
            self.on_moved()

    def _of_kind(self, kind: str, namespace: str) -> Iterator[Record]:
        if kind == LLM_SERVICE.name:
            everything: Iterable[Record] = self._resources.values()
        elif kind == POD.name:
            everything = self._pods.values()
        else:
            everything = (c for c in self._children.values() if c.ref.kind == kind)
        for record in everything:
            if namespace in ("", _name(record)[0]):
                yield record

    def _known(self, record: Record) -> Record | None:
        if isinstance(record, Resource):
            return self._resources.get(record.key)
        if isinstance(record, Child):
            return self._children.get(record.ref)
        return self._pods.get(record.ref)

    def _disown(self, old: Child) -> None:
        if old.owner is not None:
            self._by_owner[old.owner].discard(old.ref)
            if not self._by_owner[old.owner]:
                del self._by_owner[old.owner]

    def _forget_pod(self, old: Pod) -> None:
        key = Key(old.ref.namespace, old.instance)
        del self._pods[old.ref]
        self._pods_of[key].discard(old.ref)
        if not self._pods_of[key]:
            del self._pods_of[key]


def concerned(record: Record) -> frozenset[Key]:
    """The LLMServices whose reconcile looks at this object."""
    if isinstance(record, Resource):
        return frozenset({record.key})
    name = record.owner_name if isinstance(record, Child) else record.instance
    return frozenset({Key(record.ref.namespace, name)}) if name else NONE


def _name(record: Record) -> tuple[str, str]:
    if isinstance(record, Resource):
        return record.key
    return record.ref.namespace, record.ref.name


def _full_name(record: Record) -> tuple[str, str, str]:
    if isinstance(record, Resource):
        return LLM_SERVICE.name, record.key.namespace, record.key.name
    return record.ref
