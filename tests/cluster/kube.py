"""The API server as the tests of this folder talk to it: as the administrator, one small request
at a time (kubectl would take most of a test's time to start).
"""

import http.client
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from devcluster import Cluster
from llmservice_operator.connection import Connection, from_kubeconfig
from llmservice_operator.queue import LONGEST_RETRY

Manifest = dict[str, Any]
T = TypeVar("T")

_PLURALS = {
    "LLMService": "apis/llmservice.io/v1alpha1/{}llmservices",
    "Deployment": "apis/apps/v1/{}deployments",
    "ReplicaSet": "apis/apps/v1/{}replicasets",
    "Service": "api/v1/{}services",
    "ConfigMap": "api/v1/{}configmaps",
    "ServiceAccount": "api/v1/{}serviceaccounts",
    "NetworkPolicy": "apis/networking.k8s.io/v1/{}networkpolicies",
    "Secret": "api/v1/{}secrets",
    "PersistentVolumeClaim": "api/v1/{}persistentvolumeclaims",
    "Pod": "api/v1/{}pods",
    "ResourceQuota": "api/v1/{}resourcequotas",
    "Node": "api/v1/{}nodes",
    "Namespace": "api/v1/{}namespaces",
    "PodDisruptionBudget": "apis/policy/v1/{}poddisruptionbudgets",
    "HorizontalPodAutoscaler": "apis/autoscaling/v2/{}horizontalpodautoscalers",
    "Event": "apis/events.k8s.io/v1/{}events",
    "Lease": "apis/coordination.k8s.io/v1/{}leases",
}
CHILDREN = (
    "ServiceAccount",
    "ConfigMap",
    "NetworkPolicy",
    "Service",
    "Deployment",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
)


# What a look that comes only with the longest back-off brings is not missed by a moment.
PATIENCE = LONGEST_RETRY + 30  # seconds
_IDLE_SECONDS = 30  # after three times as long the API server closes a connection


class RefusedError(Exception):
    """The API server answered with an error; its sentence is the text."""


class _Kept(threading.local):
    """A thread's connection, which waits for its next request: it costs many times as much to open
    as a request does.
    """

    def __init__(self, connection: Connection) -> None:
        address = urlsplit(connection.server).netloc
        self._http = http.client.HTTPSConnection(address, context=connection.tls, timeout=40)
        self._used = 0.0

    def ask(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        if time.monotonic() - self._used > _IDLE_SECONDS:
            self._http.close()
        try:
            self._http.request(method, path, body, headers)
            response = self._http.getresponse()
            answer = response.status, response.read()
        except BaseException:
            self._http.close()
            raise
        self._used = time.monotonic()
        return answer


class Kube:
    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        """namespace: of every object that names none."""
        self._connection = from_kubeconfig(kubeconfig)
        self._kept = _Kept(self._connection)
        self.namespace = namespace

    def get(self, kind: str, name: str) -> Manifest | None:
        status, answer = self._request("GET", self._path(kind, name))
        return None if status == 404 else _checked(status, answer)

    def there(self, kind: str, name: str) -> Manifest:
        found = self.get(kind, name)
        assert found is not None, f"there is no {kind} {name}"
        return found

    def list(self, kind: str, selector: str = "") -> list[Manifest]:
        path = self._path(kind) + (f"?labelSelector={quote(selector)}" if selector else "")
        return _checked(*self._request("GET", path))["items"]

    def create(self, obj: Manifest) -> Manifest:
        obj["metadata"].setdefault("namespace", self.namespace)
        return _checked(*self._request("POST", self._path(obj["kind"]), obj))

    def merge(
        self, kind: str, name: str, patch: Manifest, subresource: str = "", manager: str = "test"
    ) -> Manifest:
        path = f"{self._path(kind, name, subresource)}?fieldManager={manager}"
        return _checked(*self._request("PATCH", path, patch, "application/merge-patch+json"))

    def apply(self, obj: Manifest, manager: str, *, dry_run: bool = False) -> Manifest:
        """Server-side, with force."""
        obj["metadata"].setdefault("namespace", self.namespace)
        path = self._path(obj["kind"], obj["metadata"]["name"])
        path += f"?fieldManager={manager}&force=true" + ("&dryRun=All" if dry_run else "")
        return _checked(*self._request("PATCH", path, obj, "application/apply-patch+yaml"))

    def strategic(self, kind: str, name: str, patch: Manifest) -> Manifest:
        path = self._path(kind, name)
        content = "application/strategic-merge-patch+json"
        return _checked(*self._request("PATCH", path, patch, content))

    def delete(self, kind: str, name: str, policy: str = "Background") -> None:
        path = f"{self._path(kind, name)}?propagationPolicy={policy}"
        _checked(*self._request("DELETE", path))

    def make_namespace(self, **labels: str) -> None:
        """Returns once pods can be made in it: they need its account."""
        metadata = {"name": self.namespace, "namespace": "", "labels": labels}
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        eventually("the namespace's account", lambda: self.get("ServiceAccount", "default"))

    def end_namespace(self) -> None:
        """First what the operator would otherwise heal while the namespace is emptied."""
        status, answer = self._request("DELETE", self._path("LLMService"))
        if status != 404:  # the kind itself may be what a test has taken away
            _checked(status, answer)
        self.delete("Namespace", self.namespace)

    def children(self, owner: str) -> dict[str, Manifest]:
        """The objects that belong to the LLMService of that name, as "Kind name"."""
        return {
            f"{kind} {obj['metadata']['name']}": obj
            for kind in CHILDREN
            for obj in self.list(kind)
            for reference in obj["metadata"].get("ownerReferences", ())
            if reference["kind"] == "LLMService" and reference["name"] == owner
        }

    def _path(self, kind: str, name: str = "", subresource: str = "") -> str:
        scope = "" if kind in ("Node", "Namespace") else f"namespaces/{self.namespace}/"
        tail = "/".join(part for part in (name, subresource) if part)
        return "/" + _PLURALS[kind].format(scope) + (f"/{tail}" if tail else "")

    def _request(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        content: str = "application/json",
    ) -> tuple[int, Manifest]:
        headers = {**self._connection.headers(), "Content-Type": content}
        data = None if body is None else json.dumps(body)
        status, answer = self._kept.ask(method, path, data, headers)
        try:
            return status, json.loads(answer)
        except ValueError:  # of a path that is not served
            return status, {"message": answer.decode()}


def _checked(status: int, answer: Manifest) -> Manifest:
    if status >= 400:
        raise RefusedError(answer.get("message", str(answer)))
    return answer


def eventually(what: str, look: Callable[[], T | None], seconds: float = PATIENCE) -> T:
    """The first result of look() that is neither None nor False; AssertionError after seconds."""
    begun = time.monotonic()
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        if (waited := time.monotonic() - begun) > seconds:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(min(max(0.05, waited / 10), 0.5))  # to look costs what others compute with


def install_crds(cluster: Cluster) -> None:
    """Returns once the API server serves them."""
    folder = Path(__file__).parents[2] / "crds"
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(folder))

    def established() -> bool:  # kubectl wait gives up where there is no status yet
        crd = json.loads(cluster.kubectl("get", "crd/llmservices.llmservice.io", "-o", "json"))
        found = crd.get("status", {}).get("conditions") or []
        return ("Established", "True") in [(c["type"], c["status"]) for c in found]

    eventually("the CRD is established", established)


def condition(service: Manifest | None, kind: str) -> Manifest:
    """The condition of that type; {} where there is none."""
    listed = ((service or {}).get("status") or {}).get("conditions", ())
    return next((c for c in listed if c["type"] == kind), {})
