"""What has to be true after each fault: converged, nothing leaked, nothing written any more."""

import copy
import time
from functools import partial
from typing import Any

from llmservice_operator import records, rollout
from llmservice_operator.api import LLMService
from llmservice_operator.observed import Observed
from llmservice_operator.ownership import stamped
from llmservice_operator.render import RenderDefaults, render

from tests.cluster import services
from tests.cluster.faults.proxy import Proxy
from tests.cluster.kube import CHILDREN, PATIENCE, Kube, Manifest, RefusedError, eventually
from tests.length import lasting

_DEFAULTS = RenderDefaults(server_image="llmservice/server:test")
_QUIET = lasting(2.5, 12.0)  # seconds
_OTHERS = 10.0  # seconds, for controllers that write the status of what is compared
_OVERTAKEN = "the object has been modified"
_FOREIGN: list[Manifest] = [
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bystander"}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bystander"}},
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "bystander",
            "labels": {
                "app.kubernetes.io/managed-by": "llmservice-operator",
                "app.kubernetes.io/instance": "bystander",
            },
        },
        "spec": {"ports": [{"port": 1}]},
    },
]


class Converged:
    """Made before the fault, it puts objects of others into the namespace."""

    def __init__(self, kube: Kube, proxy: Proxy) -> None:
        self._kube, self._proxy = kube, proxy
        made = (kube.create(copy.deepcopy(obj)) for obj in _FOREIGN)
        self._foreign = [{**obj, **found} for obj, found in zip(_FOREIGN, made, strict=True)]

    def __call__(self, *names: str, seconds: float = PATIENCE) -> None:
        for name in names:
            services.wait_condition(self._kube, name, "Ready", "True", "Serving", seconds)
            services.wait_condition(self._kube, name, "Progressing", "False", "UpToDate", seconds)
            services.wait_condition(self._kube, name, "Degraded", "False", "AsExpected", seconds)
        self._wait_complete(names)
        self.quiet()
        for name in names:
            self._as_rendered(name)
        for was in self._foreign:
            now = self._kube.there(was["kind"], was["metadata"]["name"])
            assert now["metadata"] == was["metadata"], "it is not ours and was changed"
        assert not self._amiss(names)

    def quiet(self) -> None:
        """Nothing is written any more."""
        deadline, before = time.monotonic() + 90, None
        while before != (now := self._proxy.writes.copy()):
            assert time.monotonic() < deadline, f"it writes on and on: {now - (before or now)}"
            before = now
            time.sleep(_QUIET)

    def _wait_complete(self, names: tuple[str, ...]) -> None:
        amiss: list[str] = []

        def complete() -> bool:
            nonlocal amiss
            amiss = self._amiss(names)
            return not amiss

        try:
            eventually("the children are those that are rendered", complete)
        except AssertionError as error:
            raise AssertionError(f"{error}: {', '.join(amiss)}") from None

    def _amiss(self, names: tuple[str, ...]) -> list[str]:
        """What is missing, and what should not be there."""
        wanted = {rollout.ref_of(m)[::2] for name in names for m in self._rendered(name)}
        there = {
            (kind, obj["metadata"]["name"]): obj["metadata"]
            for kind in CHILDREN
            for obj in self._kube.list(kind, "app.kubernetes.io/managed-by=llmservice-operator")
            if obj["metadata"]["name"] != "bystander"
        }
        surplus = [(name, _history(there[name])) for name in sorted(there.keys() - wanted)]
        return [
            *(f"{kind} {name} is missing" for kind, name in sorted(wanted - there.keys())),
            *(f"{kind} {name} is still there, {history}" for (kind, name), history in surplus),
        ]

    def _rendered(self, name: str) -> tuple[Manifest, ...]:
        resource = {"kind": "LLMService", **self._kube.there("LLMService", name)}
        desired = [stamped(m) for m in render(LLMService.parse(resource), _DEFAULTS)]
        children = tuple(
            records.child({"kind": key.split()[0], **obj})
            for key, obj in self._kube.children(name).items()
        )
        return rollout.step(desired, Observed(records.resource(resource), children, ())).apply

    def _as_rendered(self, name: str) -> None:
        for manifest in self._rendered(name):
            what = f"to apply {manifest['kind']} {manifest['metadata']['name']} changes nothing"
            eventually(what, partial(self._settled, manifest), _OTHERS)

    def _settled(self, manifest: Manifest) -> bool:
        """To apply what is rendered would change nothing: no value, and nobody's field."""
        live = self._kube.there(manifest["kind"], manifest["metadata"]["name"])
        try:
            applied = self._kube.apply(manifest, manager=records.FIELD_MANAGER, dry_run=True)
        except RefusedError as error:
            if _OVERTAKEN in str(error):
                return False
            raise
        return _timeless(applied) == _timeless(live)


def _history(metadata: Manifest) -> Manifest:
    told = ("creationTimestamp", "deletionTimestamp", "ownerReferences", "resourceVersion")
    return {name: metadata[name] for name in told if name in metadata}


def _timeless(obj: Manifest) -> Any:
    entries = [
        {k: v for k, v in entry.items() if k != "time"}
        for entry in obj["metadata"].get("managedFields", ())
    ]
    metadata = {**obj["metadata"], "managedFields": entries}
    return {k: obj.get(k) for k in ("spec", "data", "immutable")} | {"metadata": metadata}
