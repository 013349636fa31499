"""What cannot work becomes a condition that says so, while what works goes on working."""

import json
from typing import Any

import pytest

from tests.e2e.service import Service, wait_for

_QUESTION = "What is the capital of France?"


def test_an_image_that_cannot_be_pulled_is_named_while_the_old_pod_serves(service: Service) -> None:
    service.patch({"engine": {"image": "llmservice/absent:none"}})

    message = service.wait("Degraded", "ImagePullFailed")

    assert "llmservice/absent:none" in message
    assert "Paris" in service.ask(_QUESTION)
    service.patch({"engine": {"image": None}})
    service.wait_settled()


def test_the_servers_own_sentence_about_a_missing_model_reaches_the_condition(
    service: Service,
) -> None:
    uri = service.get()["spec"]["model"]["uri"]
    service.patch({"model": {"uri": "pvc://models/no-such-model"}})

    message = service.wait("Degraded", "ModelNotFound")

    assert "/models/no-such-model" in message
    assert "Paris" in service.ask(_QUESTION)
    service.patch({"model": {"uri": uri}})
    service.wait_settled()


@pytest.mark.parametrize(
    ("model", "reason", "named"),
    [
        ({"uri": "pvc://absent/model"}, "ClaimNotFound", "absent"),
        ({"uri": "hf://org/model", "credentialsSecret": "no-key"}, "SecretNotFound", "no-key"),
    ],
    ids=["claim", "secret"],
)
def test_what_the_resource_names_and_is_not_there_is_named(
    service: Service, model: dict[str, Any], reason: str, named: str
) -> None:
    other = Service(service.cluster, service.namespace, f"lacks-{named}")
    with other.made({"model": model}):
        assert named in other.wait("Degraded", reason)


def test_a_server_with_a_broken_configuration_exits_2_and_says_which_field(
    service: Service,
) -> None:
    (server,) = service.items("pods")
    name = "broken-config"
    config = "model: {uri: x, source: /x, servedName: x}\nport: zero\n"
    service.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "data": {"config.yaml": config},
        }
    )
    spec = server["spec"]
    (volume,) = (v for v in spec["volumes"] if "configMap" in v)
    volume["configMap"]["name"] = name
    container = spec["containers"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        container.pop(probe, None)
    spec = {**spec, "restartPolicy": "Never"}
    service.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})

    def ended() -> dict[str, Any] | None:
        pod = json.loads(service.kubectl("get", "pod", name, "-o", "json"))
        statuses = pod["status"].get("containerStatuses", [])
        return statuses[0]["state"].get("terminated") if statuses else None

    terminated = wait_for("the server to exit", ended)
    service.kubectl("delete", "pod,configmap", name)

    assert terminated["exitCode"] == 2
    assert len(terminated["message"].strip().splitlines()) == 1
    assert "port" in terminated["message"]
