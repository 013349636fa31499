"""A Redis of a resource's own: its password is made once, and all of it goes when it should."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import services
from tests.cluster.kube import Kube, Manifest, eventually
from tests.cluster.operator_process import Operator

_MANAGED = {"redis": {"managed": True}}
_MADE = ("Deployment", "NetworkPolicy", "Service")


@pytest.fixture
def may_create_secrets(identity: Callable[..., Path]) -> Iterator[None]:
    """The operator's account has the right that the chart's redis.createSecrets gives."""
    identity("llmservice-system", "redis.createSecrets=true")
    yield
    identity("llmservice-system")


def _password(kube: Kube, name: str) -> str:
    return base64.b64decode(kube.there("Secret", name)["data"]["REDIS_PASSWORD"]).decode()


def test_it_is_made_kept_through_a_restart_and_goes_but_for_its_password(
    operator: Operator, kube: Kube, may_create_secrets: None
) -> None:
    kube.create(services.minimal("own", gateway=_MANAGED, replicas=2))
    services.wait_ready(kube, "own")
    services.wait_condition(kube, "own", "LimitsShared", "True", "CountedTogether")
    services.wait_condition(kube, "own", "Degraded", "False", "AsExpected")

    assert kube.there("LLMService", "own")["status"]["replicas"] == 2  # its pod is none of them
    made = kube.there("Secret", "own-redis")
    password = _password(kube, "own-redis")
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("LLMService", "own")
    assert len(password) == 64
    assert password not in operator.log.read_text()
    for kind in _MADE:
        assert password not in str(kube.there(kind, "own-redis"))

    operator.stop()
    operator.start()
    kube.merge("LLMService", "own", {"spec": {"replicas": 1}})
    services.wait_ready(kube, "own")
    assert kube.there("Secret", "own-redis") == made

    kube.merge("LLMService", "own", {"spec": {"gateway": {"redis": None}}})
    eventually("it goes", lambda: not any(kube.get(kind, "own-redis") for kind in _MADE))
    services.wait_ready(kube, "own")
    assert kube.there("Secret", "own-redis") == made

    kube.delete("LLMService", "own")
    eventually("so does the password", lambda: kube.get("Secret", "own-redis") is None)


def test_a_resource_recreated_at_once_gets_a_password_of_its_own(
    operator: Operator, kube: Kube, may_create_secrets: None
) -> None:
    kube.create(services.minimal("again", gateway=_MANAGED))
    services.wait_ready(kube, "again")
    before = _password(kube, "again-redis")
    kube.delete("LLMService", "again")
    uid = kube.create(services.minimal("again", gateway=_MANAGED))["metadata"]["uid"]

    def ours() -> bool:
        found = kube.get("Secret", "again-redis")
        return bool(found) and found["metadata"]["ownerReferences"][0]["uid"] == uid

    eventually("the new one's", ours)
    services.wait_ready(kube, "again")
    assert _password(kube, "again-redis") != before


def test_what_somebody_changes_of_it_is_set_right(
    operator: Operator, kube: Kube, may_create_secrets: None
) -> None:
    kube.create(services.minimal("own", gateway=_MANAGED))
    services.wait_ready(kube, "own")
    everybody: Manifest = {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}

    kube.merge("NetworkPolicy", "own-redis", everybody)
    kube.delete("Service", "own-redis")

    def right() -> bool:
        selected = kube.there("NetworkPolicy", "own-redis")["spec"]["podSelector"]["matchLabels"]
        return "a" not in selected and kube.get("Service", "own-redis") is not None

    eventually("it is as it was", right)


def test_without_the_right_to_make_the_password_it_is_said_how_to(
    operator: Operator, kube: Kube
) -> None:
    kube.create(services.minimal("asked", gateway=_MANAGED))

    found = services.wait_condition(kube, "asked", "Degraded", "True", "SecretNotFound")
    assert "cannot create resource" in found["message"]
    assert "set redis.createSecrets in its chart" in found["message"]
    assert kube.children("asked") == {}

    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "asked-redis"}}
    made = kube.create({**secret, "stringData": {"REDIS_PASSWORD": "chosen"}})
    services.wait_ready(kube, "asked")
    assert kube.there("Secret", "asked-redis")["metadata"] == made["metadata"]
    assert _password(kube, "asked-redis") == "chosen"


def test_one_that_does_not_answer_is_told_while_the_replicas_serve(
    operator: Operator, kube: Kube, may_create_secrets: None
) -> None:
    kube.create(services.minimal("own", gateway=_MANAGED))
    services.wait_ready(kube, "own")
    services.wait_condition(kube, "own", "LimitsShared", "True", "CountedTogether")
    (pod,) = kube.list("Pod", "app.kubernetes.io/instance=own-redis")
    unready = [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "False"}]

    kube.merge("Pod", pod["metadata"]["name"], {"status": {"conditions": unready}}, "status")

    found = services.wait_condition(kube, "own", "Degraded", "True", "RedisNotReady")
    assert "until then each replica counts for itself" in found["message"]
    services.wait_condition(kube, "own", "Ready", "True", "Serving")
    services.wait_condition(kube, "own", "LimitsShared", "False", "RedisNotReady")
