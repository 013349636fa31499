"""A model of the API server, small enough to read: objects, field ownership, preconditions.

Server-side apply as Kubernetes defines it (docs: reference/using-api/server-side-apply), with every
list atomic: a manager owns the leaves that it applied; whoever changes a leaf takes it from all
others; a leaf that its last applier leaves out goes. Garbage collection is gc(), when it is called.
"""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.client import ApiError
from llmservice_operator.kinds import Kind

Path = tuple[str, ...]
Name = tuple[str, str]  # kind, name: one namespace is enough here
_IDENTITY = {("apiVersion",), ("kind",)} | {
    ("metadata", name) for name in ("name", "namespace", "uid", "resourceVersion")
}


class Crash(BaseException):
    """The operator dies here. Not an Exception, as nothing may catch it."""


@dataclass
class Stored:
    uid: str
    version: int
    generation: int
    content: Manifest
    owners: dict[str, set[Path]] = field(default_factory=dict[str, set[Path]])
    status: Manifest = field(default_factory=Manifest)


class ModelServer:
    """What the operator's client does to the cluster, and what everybody else may do."""

    def __init__(self) -> None:
        self.objects: dict[Name, Stored] = {}
        self.events: list[tuple[str, Manifest]] = []  # all that a watch has brought so far
        self.clock = 10
        self.writes = 0
        self.crash_in: int | None = None  # the operator dies when it sends its n-th write
        self.orphaned: set[tuple[str, Path]] = set()  # leaves that an apply let fall
        self.tell_before_crash = False  # and whether that write still arrives
        self.meanwhile: tuple[int, Callable[[], None]] | None = None  # before which write, and what
        self.late: tuple[int, Callable[[Name], None]] | None = None  # before which answer, and what
        self.failure: tuple[int, int, bool] | None = None  # which write, its code; is it done?
        self.on_delete: Callable[[Name], None] = lambda _: None  # by the operator

    # The operator's client.

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        return self.shown((kind.name, name))

    async def find(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        return self.shown((kind.name, name)) if (kind.name, name) in self.objects else None

    async def there(self, kind: Kind, namespace: str, name: str, uid: str) -> bool:
        stored = self.objects.get((kind.name, name))
        return stored is not None and stored.uid == uid

    async def apply(self, kind: Kind, obj: Manifest) -> Manifest:
        return self._written(lambda: self.applied(obj))

    async def create(self, kind: Kind, obj: Manifest) -> Manifest:
        del kind  # only Events are created, and nobody reads them here
        return obj

    async def merge_status(
        self, kind: Kind, namespace: str, name: str, patch: Manifest
    ) -> Manifest:
        def merged() -> Manifest:
            stored = self._stored((kind.name, name))
            if stored.uid != patch["metadata"]["uid"]:
                raise ApiError(409, "Conflict", "uid")
            self.report((kind.name, name), _merge(stored.status, patch["status"]))
            return self.shown((kind.name, name))

        return self._written(merged)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        def deleted() -> None:
            if self._stored((kind.name, name)).uid != uid:
                raise ApiError(409, "Conflict", "uid")
            self.on_delete((kind.name, name))
            self.remove((kind.name, name))

        self._written(deleted)

    def _written(self, write: Any) -> Any:
        if happens := self._now("meanwhile"):
            happens[0]()
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in <= 0:
                self.crash_in = None
                if self.tell_before_crash:
                    write()
                raise Crash
        self.writes += 1
        failure, late = self._now("failure"), self._now("late")
        answer = write() if failure is None or failure[1] else None
        if failure is not None:
            raise ApiError(failure[0], "MadeUp", "failed")
        if late and answer:
            late[0]((answer["kind"], answer["metadata"]["name"]))
        return answer

    def _now(self, what: str) -> list[Any] | None:
        """What was planned for the n-th write, if this is it."""
        if (planned := getattr(self, what)) is None:
            return None
        number, *rest = planned
        setattr(self, what, (number - 1, *rest) if number > 1 else None)
        return None if number > 1 else rest

    # The server.

    def applied(self, obj: Manifest, manager: str = "llmservice-operator") -> Manifest:
        name, metadata = (obj["kind"], obj["metadata"]["name"]), obj["metadata"]
        stored = self.objects.get(name)
        if stored is None:
            if "uid" in metadata:
                raise ApiError(409, "Conflict", "no such object")
            uid = f"{name[1]}-{self._tick()}"
            stored = self.objects[name] = Stored(uid, 0, 0, {})
        elif metadata.get("uid", stored.uid) != stored.uid:
            raise ApiError(409, "Conflict", "another uid")
        elif metadata.get("resourceVersion", str(stored.version)) != str(stored.version):
            raise ApiError(409, "Conflict", "another version")
        leaves = dict(_leaves(obj))
        before = copy.deepcopy((stored.content, stored.owners))
        for path in stored.owners.get(manager, set()) - leaves.keys():
            if not any(path in paths for m, paths in stored.owners.items() if m != manager):
                _remove(stored.content, path)
                self.orphaned.add((name[0], path))
        self._set(stored, leaves, manager)
        stored.owners[manager] = set(leaves)
        self._default(name, stored)
        self._bump(name, before)
        return self.shown(name)

    def edit(self, name: Name, path: Path, value: Any, manager: str) -> None:
        """Somebody sets one field."""
        stored = self._stored(name)
        before = copy.deepcopy((stored.content, stored.owners))
        self._set(stored, {path: value}, manager)
        self._bump(name, before)

    def report(self, name: Name, status: Manifest) -> None:
        """A controller tells of an object."""
        stored = self._stored(name)
        stored.status, stored.version = status, self._tick()
        self.events.append(("MODIFIED", self.shown(name)))

    def remove(self, name: Name) -> None:
        self._tick()
        if name in self.objects:
            self.objects[name].version = self.clock
            self.events.append(("DELETED", self.shown(name)))
            del self.objects[name]

    def gc(self) -> None:
        """Objects whose owner is gone go."""
        alive = {stored.uid for (kind, _), stored in self.objects.items() if kind == "LLMService"}
        for name, stored in list(self.objects.items()):
            for owner in stored.content.get("metadata", {}).get("ownerReferences", ()):
                if owner["uid"] not in alive:
                    self.remove(name)

    def shown(self, name: Name) -> Manifest:
        """The object as a client gets it."""
        stored = self._stored(name)
        shown = copy.deepcopy(stored.content)
        shown["kind"] = name[0]
        shown.setdefault("metadata", {}).update(
            name=name[1],
            namespace="ns",
            uid=stored.uid,
            resourceVersion=str(stored.version),
            generation=stored.generation,
            managedFields=[
                {"manager": m, "operation": "Apply", "fieldsV1": _fields(paths)}
                for m, paths in stored.owners.items()
            ],
        )
        return {**shown, "status": copy.deepcopy(stored.status)}

    def _set(self, stored: Stored, leaves: dict[Path, Any], manager: str) -> None:
        for path, value in leaves.items():
            if _at(stored.content, path) != value:
                for paths in stored.owners.values():
                    paths.discard(path)
                _put(stored.content, path, copy.deepcopy(value))
            stored.owners.setdefault(manager, set()).add(path)

    def _default(self, name: Name, stored: Stored) -> None:
        if name[0] == "Deployment":
            stored.content["spec"].setdefault("replicas", 1)

    def _bump(self, name: Name, before: tuple[Manifest, Any]) -> None:
        stored = self.objects[name]
        if before != (stored.content, stored.owners):
            stored.version = self._tick()
            if before[0].get("spec") != stored.content.get("spec"):
                stored.generation += 1
            self.events.append(("MODIFIED", self.shown(name)))

    def _stored(self, name: Name) -> Stored:
        if name not in self.objects:
            raise ApiError(404, "NotFound", f"{name} not found")
        return self.objects[name]

    def _tick(self) -> int:
        self.clock += 1
        return self.clock


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    elif path not in _IDENTITY:
        yield path, value


def _fields(paths: set[Path]) -> Manifest:
    tree: Manifest = {}
    for path in sorted(paths):
        node = tree
        for name in path:
            node = node.setdefault(f"f:{name}", {})
    return json.loads(json.dumps(tree))


def _at(content: Manifest, path: Path) -> Any:
    node: Any = content
    for name in path:
        node = node.get(name, ...) if isinstance(node, dict) else ...
    return node


def _put(content: Manifest, path: Path, value: Any) -> None:
    for name in path[:-1]:
        content = content.setdefault(name, {})
    content[path[-1]] = value


def _remove(content: Manifest, path: Path) -> None:
    parents = [content]
    for name in path[:-1]:
        parents.append(parents[-1].get(name, {}))
    parents[-1].pop(path[-1], None)


def _merge(old: Manifest, patch: Manifest) -> Manifest:
    merged = {**old}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(old.get(name), dict):
            merged[name] = _merge(old[name], value)
        else:
            merged[name] = value
    return merged
