"""What callers can count on, as far as the spec tells: who may ask, and whether limits hold of all
replicas together. No alarm: an endpoint that is open, or counts for each replica, may be meant so.
Pure.
"""

from collections.abc import Iterator

from llmservice_operator.api.conditions import Condition, ConditionType, Reason
from llmservice_operator.api.gateway import Gateway
from llmservice_operator.api.plan import Plan
from llmservice_operator.api.resource import LLMService
from llmservice_operator.observed import Observed
from llmservice_operator.status.children import redis_silent
from llmservice_operator.status.patch import conditions_of

# What the server reads of its environment by itself: engine.env may say it in place of the gateway.
_KEYS, _REDIS = "API_KEY", "REDIS_URL"
_OLDER = "pods that may be older than this serve as they did before"


def promises(service: LLMService, observed: Observed, *, older: bool) -> Iterator[Condition]:
    """older: what serves may be of an older spec, and does not do what only this one asks for."""
    known = conditions_of(observed.resource.status)
    for told in (_guarded(service), _shared(service, observed)):
        if told is None:
            continue
        before = known.get(told.type, {}).get("status")
        new = told.status == "True" and before != "True"
        yield Condition(told.type, "False", Reason.ROLLING_OUT, _OLDER) if new and older else told


def _guarded(service: LLMService) -> Condition:
    kind, auth = ConditionType.GUARDED, service.spec.gateway.auth
    if auth is None and _KEYS not in _variables(service):
        words = (
            "whoever reaches the Service may ask: write gateway.auth where only those with keys may"
        )
        return Condition(kind, "False", Reason.OPEN_IN_CLUSTER, words)
    if auth and auth.anonymous:
        words = "who shows no key is served too, within gateway.limits.anonymous"
        return Condition(kind, "False", Reason.ANONYMOUS_ALLOWED, words)
    return Condition(kind, "True", Reason.KEYS_WANTED, Reason.KEYS_WANTED.sentence)


def _shared(service: LLMService, observed: Observed) -> Condition | None:
    kind, spec = ConditionType.LIMITS_SHARED, service.spec
    if silent := redis_silent(observed, service):
        return Condition(kind, "False", Reason.REDIS_NOT_READY, silent)
    if spec.gateway.redis or _REDIS in _variables(service):
        reason = Reason.COUNTED_TOGETHER
        return Condition(kind, "True", reason, reason.sentence)
    most = spec.autoscaling.max if spec.autoscaling else spec.replicas or 1
    counted = _counted(spec.gateway)
    if most == 1 or not counted:
        return None
    several = f"up to {most}" if spec.autoscaling else most
    words = (
        f"each of {several} replicas counts for itself: {', '.join(counted)}; "
        "write gateway.redis, in which they count together"
    )
    return Condition(kind, "False", Reason.COUNTED_PER_REPLICA, words)


def _counted(gateway: Gateway) -> list[str]:
    """What is counted, by its field."""
    auth, limits = gateway.auth, gateway.limits
    plans = auth.plans if auth else ()
    written = {
        "limits.perAddress": limits.per_address,
        "limits.models": limits.models,
        "limits.anonymous": auth and auth.anonymous,
        **{f"plan {plan.name}": _rated(plan) for plan in plans},
        "plans in the database": auth and auth.stored,
        "quotas": gateway.quotas or any(p.monthly_requests or p.monthly_tokens for p in plans),
        "idempotency": gateway.idempotency,
        "signed requests": auth and auth.signed,
    }
    return [what for what, there in written.items() if there]


def _rated(plan: Plan) -> bool:
    rates = (plan.per_key, plan.per_user, plan.total)
    return any(value is not None for rate in rates for value in rate.model_dump().values())


def _variables(service: LLMService) -> set[str]:
    return {variable.name for variable in service.spec.engine.env}
