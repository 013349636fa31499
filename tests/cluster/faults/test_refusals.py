"""What the cluster refuses for a while: told in its words, and done as soon as it may be."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from devcluster import Cluster

from tests.cluster import services
from tests.cluster.faults import webhook
from tests.cluster.faults.proxy import Proxy
from tests.cluster.kube import Kube, Manifest, RefusedError, condition, eventually
from tests.cluster.operator_process import Operator
from tests.length import FULL, lasting

_ADMISSION = "admissionregistration.k8s.io/v1"
# Makes an object of the cluster's; what it returns removes it.
Make = Callable[[Manifest], Callable[[], object]]


@pytest.fixture
def make(cluster: Cluster) -> Iterator[Make]:
    made: list[Manifest] = []

    def remove(obj: Manifest) -> None:
        place = ("--ignore-not-found", obj["kind"], obj["metadata"]["name"])
        cluster.kubectl("delete", *place)

    def create(obj: Manifest) -> Callable[[], object]:
        cluster.kubectl("create", "-f", "-", input=json.dumps(obj))
        made.append(obj)
        return lambda: remove(obj)

    yield create
    for obj in reversed(made):
        remove(obj)


_WEBHOOK = lasting(1, 30)  # seconds that the API server waits for one; it takes no more than 30


def _told(kube: Kube, name: str, words: str) -> None:
    def told() -> bool:
        return words in condition(kube.there("LLMService", name), "Degraded").get("message", "")

    eventually(f"{words!r} is told of {name}", told)


def _in_force(kube: Kube, probe: Manifest, words: str) -> None:
    """Returns once the probe is refused with these words."""

    def refused() -> bool:
        try:
            kube.apply(probe, "probe", dry_run=True)
        except RefusedError as error:
            return words in str(error)
        return False

    eventually(f"{words!r} refuses", refused)


def test_an_exhausted_quota(
    behind: Operator, proxy: Proxy, kube: Kube, converged: Callable[..., None]
) -> None:
    kube.create(services.minimal("rich"))
    converged("rich")
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"}}
    hard = {"count/deployments.apps": "1", "count/poddisruptionbudgets.policy": "1"}
    kube.create({**quota, "spec": {"hard": hard}})
    eventually("the quota counts", lambda: kube.there("ResourceQuota", "tight").get("status"))

    kube.create(services.minimal("poor"))
    _told(kube, "poor", "exceeded quota: tight")
    kube.merge("LLMService", "rich", {"spec": {"replicas": 2}})
    services.wait_condition(kube, "rich", "Progressing", "False", "UpToDate")
    before = proxy.writes.total()
    time.sleep(3)
    assert proxy.writes.total() - before < 20, "it knocks again and again"

    kube.merge("ResourceQuota", "tight", {"spec": {"hard": dict.fromkeys(hard, "5")}})
    converged("rich", "poor")


_CLOSED = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"]}
_WRITES = ("CREATE", "UPDATE")


@contextmanager
def _with_policy(
    make: Make,
    namespace: str,
    _: Path | None = None,
    rule: Manifest = _CLOSED,
    operations: Sequence[str] = _WRITES,
) -> Iterator[Callable[[], object]]:
    name = {"name": f"closed-{namespace}"}
    constraints = {"resourceRules": [{**rule, "operations": [*operations]}]}
    validation = {"expression": "false", "message": webhook.WORDS}
    make(
        {
            "apiVersion": _ADMISSION,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": name,
            "spec": {"matchConstraints": constraints, "validations": [validation]},
        }
    )
    here = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    yield make(
        {
            "apiVersion": _ADMISSION,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": name,
            "spec": {
                "policyName": name["name"],
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": here},
            },
        }
    )


@contextmanager
def _with_webhook(make: Make, namespace: str, folder: Path) -> Iterator[Callable[[], object]]:
    with webhook.denying(folder) as client_config:
        yield make(_webhook("closed", namespace, client_config, _CLOSED))


def _webhook(name: str, namespace: str, client_config: Manifest, rule: Manifest) -> Manifest:
    hook = {
        "name": f"{name}.example.com",
        "clientConfig": client_config,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [{**rule, "operations": [*_WRITES]}],
        "timeoutSeconds": _WEBHOOK,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {
        "apiVersion": _ADMISSION,
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": f"{name}-{namespace}"},
        "webhooks": [hook],
    }


@pytest.mark.parametrize(
    ("denied", "by"),
    [(_with_policy, "ValidatingAdmissionPolicy"), (_with_webhook, 'webhook "closed.example.com"')],
)
def test_a_policy_or_a_webhook_that_denies(
    behind: Operator,
    make: Make,
    kube: Kube,
    converged: Callable[..., None],
    tmp_path: Path,
    denied: Callable[[Make, str, Path], AbstractContextManager[Callable[[], object]]],
    by: str,
) -> None:
    with denied(make, kube.namespace, tmp_path) as remove:
        metadata = {"name": "bystander", "labels": {"probe": "yes"}}
        probe = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
        _in_force(kube, probe, webhook.WORDS)
        kube.create(services.minimal("sunday"))
        _told(kube, "sunday", webhook.WORDS)
        _told(kube, "sunday", by)
        assert kube.get("Deployment", "sunday")
        remove()
        converged("sunday")


def test_a_deletion_that_is_denied_is_told_and_stops_no_rollout(
    behind: Operator, make: Make, kube: Kube, converged: Callable[..., None]
) -> None:
    kube.create(services.minimal("kept"))
    converged("kept")
    (old,) = kube.list("ConfigMap", "app.kubernetes.io/instance=kept")
    name = old["metadata"]["name"]
    with _with_policy(
        make, kube.namespace, None, {**_CLOSED, "resources": ["configmaps"]}, ["DELETE"]
    ) as remove:

        def denied() -> bool:
            probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}}
            kube.apply(probe, "probe")
            try:
                kube.delete("ConfigMap", "probe")
            except RefusedError:
                return True
            return False

        eventually("the policy is in force", denied)
        kube.merge("LLMService", "kept", {"spec": {"engine": {"args": {"max-model-len": 2048}}}})
        _told(kube, "kept", f"the deletion of ConfigMap {name} was refused")
        _told(kube, "kept", webhook.WORDS)
        services.wait_condition(kube, "kept", "Ready", "True", "Serving")
        kube.delete("Service", "kept")
        eventually("others are healed", lambda: kube.get("Service", "kept"))
        remove()
        converged("kept")
    assert kube.get("ConfigMap", name) is None


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[Any] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept())
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_a_webhook_that_never_answers(
    behind: Operator,
    make: Make,
    silent_port: int,
    kube: Kube,
    converged: Callable[..., None],
) -> None:
    rule = {"apiGroups": ["policy"], "apiVersions": ["v1"], "resources": ["poddisruptionbudgets"]}
    client_config = {"url": f"https://127.0.0.1:{silent_port}/"}
    remove = make(_webhook("silent", kube.namespace, client_config, rule))
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"}}
    _in_force(kube, budget, "silent.example.com")
    kube.create(services.minimal("heard"))
    _told(kube, "heard", 'failed calling webhook "silent.example.com"')
    services.wait_condition(kube, "heard", "Ready", "True", "Serving")
    remove()
    converged("heard")


def test_a_namespace_that_is_being_deleted(
    behind: Operator,
    cluster: Cluster,
    proxy: Proxy,
    kube: Kube,
    converged: Callable[..., None],
) -> None:
    dying = Kube(cluster.kubeconfig, f"{kube.namespace}-dying")
    cluster.kubectl("create", "namespace", dying.namespace)
    for name in ("goes", "held"):
        dying.create(services.minimal(name))
        services.wait_ready(dying, name)
    hold = {"metadata": {"finalizers": ["example.com/hold"]}}
    dying.merge("LLMService", "held", hold)
    dying.merge("ConfigMap", "kube-root-ca.crt", hold)

    cluster.kubectl("delete", "namespace", dying.namespace, "--wait=false")
    eventually("it is emptied", lambda: not dying.list("Deployment"))
    kube.create(services.minimal("lives"))
    converged("lives")

    free = {"metadata": {"finalizers": None}}
    dying.merge("LLMService", "held", free)
    dying.merge("ConfigMap", "kube-root-ca.crt", free)
    # Its controller looks again when it likes to.
    eventually("nothing holds it", lambda: not dying.list("LLMService"))
    if FULL:
        eventually("it is gone", lambda: kube.get("Namespace", dying.namespace) is None, 120)
        converged("lives")
