"""Who may ask and how much, in the server's configuration: what spec.gateway says of callers, and
of what is kept of them. Of secrets only the variables that hold them.
"""

from llmservice_server.config import (
    AuthConfig,
    CacheConfig,
    DatabaseConfig,
    HistoryConfig,
    IdempotencyConfig,
    LimitsConfig,
    Place,
    Plan,
    Price,
    RedisConfig,
)

from llmservice_operator.api import plan as written
from llmservice_operator.api.part import Part
from llmservice_operator.api.resource import LLMService
from llmservice_operator.render.invalid import at
from llmservice_operator.render.redis import URL
from llmservice_operator.render.volumes import DATA_PATH

_SQLITE = f"{DATA_PATH}/store.db"


def auth(service: LLMService) -> AuthConfig:
    gateway = service.spec.gateway
    said = gateway.auth
    if said is None:
        return AuthConfig()
    with at("spec.gateway.auth"):
        secrets = {"keys_secret", "pepper_secret"}
        return AuthConfig.model_validate(
            {
                **said.model_dump(by_alias=True, exclude_none=True, exclude={*secrets, "plans"}),
                "keys": _place(service, "API_KEY"),
                "pepper": _place(service, "KEY_PEPPER"),
                "plans": _plans(said.plans, gateway.quotas),
            }
        )


def _plans(plans: tuple[written.Plan, ...], quotas: written.Quotas | None) -> tuple[Plan, ...]:
    """Each with the quota of all where it says none, the default plan too."""
    usual = _given(quotas) if quotas else {}
    made = [Plan.model_validate({**usual, **_given(plan)}) for plan in plans]
    if usual and all(plan.name != "default" for plan in plans):
        made.append(Plan.model_validate({**usual, "name": "default"}))
    return tuple(made)


def limits(service: LLMService) -> LimitsConfig:
    with at("spec.gateway.limits"):
        return LimitsConfig.model_validate(_given(service.spec.gateway.limits))


def prices(service: LLMService) -> tuple[Price, ...]:
    with at("spec.gateway.prices"):
        return tuple(Price.model_validate(_given(said)) for said in service.spec.gateway.prices)


def redis(service: LLMService) -> RedisConfig:
    if service.spec.gateway.redis is None:
        return RedisConfig()
    # Others may share it, and their users have the same names.
    prefix = f"{service.metadata.namespace}/{service.metadata.name}"
    return RedisConfig(url=Place(variable=URL), prefix=prefix)


def database(service: LLMService) -> DatabaseConfig | None:
    said = service.spec.gateway.database
    if said is None:
        return None
    return DatabaseConfig(
        url=_place(service, "DATABASE_URL"), sqlite=_SQLITE if said.sqlite else None
    )


def cache(service: LLMService) -> CacheConfig | None:
    said = service.spec.gateway.cache
    return said and CacheConfig.model_validate(_given(said))


def idempotency(service: LLMService) -> IdempotencyConfig | None:
    said = service.spec.gateway.idempotency
    return said and IdempotencyConfig.model_validate(_given(said))


def history(service: LLMService) -> HistoryConfig | None:
    said = service.spec.gateway.history
    return said and HistoryConfig.model_validate(_given(said))


def _place(service: LLMService, variable: str) -> Place | None:
    return Place(variable=variable) if variable in service.spec.gateway.secrets else None


def _given(part: Part) -> dict[str, object]:
    """Its fields as the server's types have them too, without those left out."""
    return part.model_dump(by_alias=True, exclude_none=True)
