"""The password of a resource's own Redis: made once and never written again, or said how to."""

import asyncio
from typing import cast

import pytest
from llmservice_operator.api import LLMService, Manifest
from llmservice_operator.api.conditions import Reason
from llmservice_operator.client import ApiError, Client
from llmservice_operator.kinds import Kind
from llmservice_operator.observed import Problem
from llmservice_operator.prerequisites import Prerequisites

_ABSENT = ApiError(404, "NotFound", "no")
_FORBIDDEN = ApiError(403, "Forbidden", "secrets is forbidden: cannot create resource secrets")
_OURS = {"kind": "LLMService", "name": "x", "controller": True}


def _service(**redis: object) -> LLMService:
    metadata = {"name": "x", "namespace": "ns", "uid": "u"}
    spec = {"model": {"uri": "hf://a/b"}, "gateway": {"redis": redis}}
    return LLMService.parse({"metadata": metadata, "spec": spec})


class _Secrets:
    """An API server with one Secret, if it has one; what it refuses is given."""

    def __init__(self, found: Manifest | ApiError, refusal: ApiError | None = None) -> None:
        self.found, self.refusal = found, refusal
        self.created: list[Manifest] = []

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        assert (kind.name, namespace, name) == ("Secret", "ns", "x-redis")
        if isinstance(self.found, ApiError):
            raise self.found
        return self.found

    async def create(self, kind: Kind, obj: Manifest) -> Manifest:
        assert kind.name == "Secret"
        if self.refusal:
            raise self.refusal
        self.created.append(obj)
        return obj


def _missing(secrets: _Secrets, **redis: object) -> list[Problem]:
    service = _service(**(redis or {"managed": True}))
    return asyncio.run(Prerequisites(cast("Client", secrets)).missing(service))


def _secret(uid: str | None) -> Manifest:
    owners = [{**_OURS, "uid": uid}] if uid else []
    return {"metadata": {"ownerReferences": owners}, "data": {"REDIS_PASSWORD": ""}}


def test_one_that_is_not_there_is_made_and_goes_with_the_resource() -> None:
    first, second = _Secrets(_ABSENT), _Secrets(_ABSENT)
    assert _missing(first) == _missing(second) == []
    (made,), (other,) = first.created, second.created
    (owner,) = made["metadata"]["ownerReferences"]
    assert (made["metadata"]["name"], owner["uid"]) == ("x-redis", "u")
    password, different = (m["stringData"]["REDIS_PASSWORD"] for m in (made, other))
    assert len(password) == 64
    assert password != different


@pytest.mark.parametrize("uid", ["u", None], ids=["ours", "a user's"])
def test_one_that_is_there_is_never_written(uid: str | None) -> None:
    secrets = _Secrets(_secret(uid))
    assert _missing(secrets) == []
    assert secrets.created == []


def test_of_two_that_make_it_one_does() -> None:
    assert _missing(_Secrets(_ABSENT, ApiError(409, "AlreadyExists", "there is one"))) == []


def test_without_the_right_to_make_it_is_said_what_to_do() -> None:
    (problem,) = _missing(_Secrets(_ABSENT, _FORBIDDEN))
    assert problem.reason is Reason.SECRET_NOT_FOUND
    assert "set redis.createSecrets in its chart" in problem.message
    assert "kubectl -n ns create secret generic x-redis --from-literal" in problem.message


def test_an_api_server_that_fails_is_asked_again() -> None:
    (problem,) = _missing(_Secrets(_ABSENT, ApiError(500, "InternalError", "etcd is slow")))
    assert (problem.reason, problem.passing) == (Reason.API_FAILED, True)


def test_one_that_is_about_to_go_with_a_deleted_resource_is_waited_for() -> None:
    secrets = _Secrets(_secret("another"))
    (problem,) = _missing(secrets)
    assert problem.reason is Reason.WAITING_FOR_DELETION
    assert secrets.created == []


def test_of_another_redis_nothing_is_made() -> None:
    secrets = _Secrets(_ABSENT)

    async def get(kind: Kind, namespace: str, name: str) -> Manifest:
        raise _ABSENT

    secrets.get = get
    (problem,) = _missing(secrets, urlSecret={"name": "redis"})
    assert problem.message == "Secret redis does not exist in namespace ns: create it"
    assert secrets.created == []
