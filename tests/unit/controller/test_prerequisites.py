"""What a pod needs and the operator does not make: is it there?"""

import asyncio
from typing import cast

import pytest
from llmservice_operator.api import LLMService, Manifest
from llmservice_operator.api.conditions import Reason
from llmservice_operator.client import ApiError, Client
from llmservice_operator.kinds import Kind
from llmservice_operator.observed import Problem
from llmservice_operator.prerequisites import Prerequisites, needed

_SPEC: Manifest = {
    "metadata": {"name": "x", "namespace": "ns"},
    "spec": {"model": {"uri": "pvc://models/x", "credentialsSecret": "token"}},
}
_SERVICE = LLMService.parse(_SPEC)


class _Answering:
    """Answers for Secrets with what it is given; claims are there."""

    def __init__(self, answer: Manifest | ApiError) -> None:
        self.answer = answer

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        if kind.name == "Secret" and isinstance(self.answer, ApiError):
            raise self.answer
        return self.answer if isinstance(self.answer, dict) else {}


def _missing(answer: Manifest | ApiError) -> list[Problem]:
    return asyncio.run(Prerequisites(cast("Client", _Answering(answer))).missing(_SERVICE))


@pytest.mark.parametrize(
    ("answer", "reason", "sentence"),
    [
        (
            ApiError(404, "NotFound", "no"),
            Reason.SECRET_NOT_FOUND,
            "Secret token does not exist in namespace ns: create it",
        ),
        ({"data": {"A": ""}}, Reason.SECRET_NOT_FOUND, "Secret token has no key HF_TOKEN: add it"),
        (
            ApiError(500, "InternalError", "etcd is slow"),
            Reason.API_FAILED,
            "Secret token cannot be read: etcd is slow",
        ),
        (
            ApiError(503, "ServiceUnavailable", "not now"),
            Reason.API_FAILED,
            "Secret token cannot be read: not now",
        ),
    ],
)
def test_what_is_not_there_or_cannot_be_read_is_told(
    answer: Manifest | ApiError, reason: Reason, sentence: str
) -> None:
    (problem,) = _missing(answer)
    assert (problem.reason, problem.message) == (reason, sentence)
    assert problem.passing == (reason is Reason.API_FAILED)


@pytest.mark.parametrize("answer", [{"data": {"HF_TOKEN": ""}}, ApiError(403, "Forbidden", "no")])
def test_what_is_there_or_must_not_be_read_is_taken_to_be_right(
    answer: Manifest | ApiError,
) -> None:
    assert _missing(answer) == []


def test_a_server_that_does_not_answer_is_no_finding() -> None:
    with pytest.raises(ApiError):
        _missing(ApiError(0, "NoAnswer", "connection refused"))


def test_the_keys_of_a_proxys_upstreams_are_asked_for() -> None:
    upstream = {"url": "http://a/v1", "apiKeySecret": {"name": "openai", "key": "KEY"}}
    meta = {"name": "x", "namespace": "ns"}
    spec = {"engine": {"type": "proxy", "upstreams": [upstream, {"url": "http://b/v1"}]}}
    service = LLMService.parse({"metadata": meta, "spec": spec})
    client = cast("Client", _Answering({"data": {}}))
    (problem,) = asyncio.run(Prerequisites(client).missing(service))
    assert problem.reason is Reason.SECRET_NOT_FOUND
    assert problem.message == "Secret openai has no key KEY: add it"


def test_what_the_gateway_reads_of_secrets_and_its_volume_are_asked_for() -> None:
    gateway = {
        "auth": {"keysSecret": {"name": "callers"}, "pepperSecret": {"name": "pepper"}},
        "redis": {"urlSecret": {"name": "redis", "key": "URL"}},
        "database": {"sqlite": {"claimName": "data"}},
    }
    meta = {"name": "x", "namespace": "ns"}
    spec = {"model": {"uri": "hf://a/b"}, "gateway": gateway}
    asked = needed(LLMService.parse({"metadata": meta, "spec": spec}))
    assert [(n.kind.name, n.name, n.data_key) for n in asked] == [
        ("Secret", "callers", "API_KEY"),
        ("Secret", "pepper", "KEY_PEPPER"),
        ("Secret", "redis", "URL"),
        ("PersistentVolumeClaim", "data", ""),
    ]


def test_what_was_there_for_a_resource_is_asked_for_again_by_the_next_of_its_name() -> None:
    def service(uid: str) -> LLMService:
        return LLMService.parse({**_SPEC, "metadata": {**_SPEC["metadata"], "uid": uid}})

    server = _Answering({"data": {"HF_TOKEN": ""}})
    prerequisites = Prerequisites(cast("Client", server))
    assert asyncio.run(prerequisites.missing(service("old"))) == []
    server.answer = ApiError(404, "NotFound", "no")
    assert asyncio.run(prerequisites.missing(service("old"))) == []  # not asked for yet
    (problem,) = asyncio.run(prerequisites.missing(service("new")))
    assert problem.reason is Reason.SECRET_NOT_FOUND
