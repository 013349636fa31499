"""The password of a resource's own Redis: made once, and from then on only looked for.

Promises: it is random and nowhere but in a Secret that goes with the resource; one that is there,
whoever made it, is never written; of two that make it, one does. Where the right to make Secrets
is missing, the sentence says how to get on without it. Never: a read of its value.
"""

import secrets

from llmservice_operator.api.conditions import Reason
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.resource import LLMService
from llmservice_operator.client import ApiError, Client
from llmservice_operator.kinds import SECRET
from llmservice_operator.observed import Problem
from llmservice_operator.render.identity import metadata
from llmservice_operator.render.redis import PASSWORD, redis_name
from llmservice_operator.words import shortened

_BYTES = 32
_ALREADY_THERE = 409


async def make(client: Client, service: LLMService) -> Problem | None:
    """Raises ApiError where the API server fails or does not answer."""
    try:
        await client.create(SECRET, _secret(service))
    except ApiError as error:
        if error.code == _ALREADY_THERE:
            return None
        if error.failed or error.unanswered:
            raise
        name, namespace = redis_name(service), service.metadata.namespace
        by_hand = (
            f"kubectl -n {namespace} create secret generic {name} "
            f'--from-literal={PASSWORD}="$(openssl rand -hex {_BYTES})"'
        )
        words = (
            f"Secret {name} does not exist in namespace {namespace}, and the operator could not "
            f"make it ({shortened(error.message)}): set redis.createSecrets in its chart, or "
            f"run {by_hand}"
        )
        return Problem(Reason.SECRET_NOT_FOUND, words)
    return None


def goes(found: Manifest, service: LLMService) -> Problem | None:
    """Of a deleted resource of this name, with which it is about to go."""
    owners = found["metadata"].get("ownerReferences", ())
    if all(o["uid"] == service.metadata.uid for o in owners if o.get("controller")):
        return None
    name = redis_name(service)
    words = f"Secret {name} of the deleted LLMService of this name is still being removed"
    return Problem(Reason.WAITING_FOR_DELETION, words)


def _secret(service: LLMService) -> Manifest:
    return {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.name,
        "metadata": metadata(service, redis_name(service)),
        "type": "Opaque",
        # Of letters and digits, since it stands in an address.
        "stringData": {PASSWORD: secrets.token_hex(_BYTES)},
    }
