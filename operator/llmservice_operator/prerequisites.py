"""Secrets and claims that a spec names: are they there?

Each is asked for by name, never listed or watched; of a Secret only the names of its keys are
kept. What is there is asked for again after FRESH seconds or for a new generation or uid, what is
missing with each reconcile. Where the right to read is missing, the
answer is taken to be yes: the kubelet will tell. The one that we make ourselves is made here.
"""

import logging
import time
from collections.abc import Iterator
from typing import NamedTuple

from llmservice_operator import password
from llmservice_operator.api.conditions import Reason
from llmservice_operator.api.model import TOKEN_KEY
from llmservice_operator.api.resource import LLMService
from llmservice_operator.client import ApiError, Client
from llmservice_operator.kinds import CLAIM, SECRET, Kind
from llmservice_operator.observed import Problem
from llmservice_operator.records import Key
from llmservice_operator.render.redis import PASSWORD, redis_name
from llmservice_operator.words import shortened

FRESH = 600.0  # seconds

log = logging.getLogger(__name__)


class Needed(NamedTuple):
    """ours: made where it is missing."""

    kind: Kind
    name: str
    data_key: str = ""
    ours: bool = False

    def __str__(self) -> str:
        return f"{self.kind.name} {self.name}"


def needed(service: LLMService) -> Iterator[Needed]:
    """What must exist in the resource's namespace before a pod can start. Pure."""
    model = service.spec.model
    if model and model.credentials_secret:
        yield Needed(SECRET, model.credentials_secret, TOKEN_KEY)
    for variable in service.spec.engine.env:
        reference = variable.value_from.secret_key_ref if variable.value_from else None
        if reference and not reference.optional:
            yield Needed(SECRET, reference.name, reference.key)
    for upstream in service.spec.engine.upstreams:
        if secret := upstream.api_key_secret:
            yield Needed(SECRET, secret.name, secret.key)
    gateway = service.spec.gateway
    for secret in gateway.secrets.values():
        yield Needed(SECRET, secret.name, secret.key)
    if gateway.runs_redis:
        yield Needed(SECRET, redis_name(service), PASSWORD, ours=True)
    for claim in (model and model.claim, gateway.claim):
        if claim:
            yield Needed(CLAIM, claim)


class Prerequisites:
    def __init__(self, client: Client) -> None:
        self._client = client
        # Of each resource: for which uid and generation what was found, and when.
        self._found: dict[Key, tuple[tuple[str, int], dict[Needed, float]]] = {}

    async def missing(self, service: LLMService) -> list[Problem]:
        key = Key(service.metadata.namespace, service.metadata.name)
        asker, now = (service.metadata.uid, service.metadata.generation), time.monotonic()
        of, known = self._found.get(key, (asker, {}))
        if of != asker:
            known = {}
        problems: list[Problem] = []
        found: dict[Needed, float] = {}
        for need in dict.fromkeys(needed(service)):
            if now - known.get(need, float("-inf")) < FRESH:
                found[need] = known[need]
            elif problem := await self._look(need, service):
                problems.append(problem)
            else:
                found[need] = now
        if found:
            self._found[key] = (asker, found)
        else:
            self.forget(key)
        return problems

    def forget(self, key: Key) -> None:
        self._found.pop(key, None)

    async def _look(self, need: Needed, service: LLMService) -> Problem | None:
        try:
            return await self._lacking(need, service)
        except ApiError as error:
            if error.code == 403:
                log.warning("%s cannot be checked: %s", need, error.message)
                return None
            if error.failed:
                words = f"{need} cannot be read: {shortened(error.message)}"
                return Problem(Reason.API_FAILED, words, passing=True)
            raise

    async def _lacking(self, need: Needed, service: LLMService) -> Problem | None:
        reason = Reason.SECRET_NOT_FOUND if need.kind is SECRET else Reason.CLAIM_NOT_FOUND
        namespace = service.metadata.namespace
        try:
            obj = await self._client.get(need.kind, namespace, need.name)
        except ApiError as error:
            if error.code != 404:
                raise
            if need.ours:
                return await password.make(self._client, service)
            return Problem(reason, f"{need} does not exist in namespace {namespace}: create it")
        if need.ours and (problem := password.goes(obj, service)):
            return problem
        keys = sorted(obj.get("data") or {})
        if need.data_key and need.data_key not in keys:
            return Problem(reason, f"{need} has no key {need.data_key}: add it")
        return None
