"""What a request is charged to: by who asks, for what, and what the configuration says; pure.

Everything that a caller asks for counts as a request of a minute. Tokens, places and months are for
what the engine computes. Whose counter it is, is in its name, which holds no secret.
"""

from collections.abc import Iterator
from typing import NamedTuple

from llmservice_server.config import LimitsConfig
from llmservice_server.config.plan import Plan, Rates
from llmservice_server.gateway.caller import Caller
from llmservice_server.gateway.identity.address import network
from llmservice_server.gateway.toll.counters import MOST, Charge, What
from llmservice_server.gateway.toll.estimate import Ask

UNNAMED = 1024
"""Tokens that are reserved for an answer where neither the request nor the plan bounds it."""


def reserved(ask: Ask | None, plan: Plan) -> int:
    """Tokens, of the prompt and all answers."""
    if ask is None:
        return 0
    most = ask.most
    if most is None:
        most = bound(ask, plan) or ask.usual or UNNAMED
    return ask.prompt + most * ask.answers


def bound(ask: Ask, plan: Plan) -> int | None:
    """What an answer is bounded to by the plan alone: the request names nothing, or would usually
    take more.
    """
    most = plan.max_output_tokens
    if most is None or ask.most is not None or not ask.answers:
        return None
    return most if ask.usual is None or ask.usual > most else None


def beyond(ask: Ask, plan: Plan) -> str | None:
    """What of the request is more than the plan allows, and what to write instead."""
    if plan.max_prompt_tokens is not None and ask.prompt > plan.max_prompt_tokens:
        return (
            f"The prompt is about {ask.prompt} tokens, and your plan takes {plan.max_prompt_tokens}"
            " (four bytes count as one); send a shorter one."
        )
    most = plan.max_output_tokens
    if most is not None and ask.most is not None and ask.most > most and ask.answers:
        return f"{ask.field} is {ask.most}, and your plan allows {most}; write {most} or less."
    return None


class Wanted(NamedTuple):
    """What a request may take: ``tokens``, and the engine's time where that ``computes``."""

    ask: Ask | None
    tokens: int
    computes: bool


def charges(caller: Caller, wanted: Wanted, limits: LimitsConfig) -> tuple[Charge, ...]:
    plan, made = caller.plan, list[Charge]()
    for holder, of, rates in _holders(caller, wanted.ask, limits):
        if rates != _NOTHING and limits.enabled is not False:
            made += _rates(holder, of, rates, wanted)
    if wanted.computes and caller.user:
        month = f"user:{caller.user}:month"
        if limit := plan.monthly_requests:
            made.append(Charge(month, What.MONTH_REQUESTS, limit, 1, ""))
        if (limit := plan.monthly_tokens) and wanted.tokens:
            made.append(Charge(month, What.MONTH_TOKENS, limit, wanted.tokens, ""))
    return tuple(made)


_NOTHING = Rates()


def _holders(
    caller: Caller, ask: Ask | None, limits: LimitsConfig
) -> Iterator[tuple[str, str, Rates]]:
    """Whose counters, by name and in words, and what they may have."""
    plan, address = caller.plan, network(caller.address)
    if caller.key:
        yield f"key:{caller.key}", "this key", plan.per_key
    if caller.user:
        yield f"user:{caller.user}", "this user", plan.per_user
    if not caller.key and not caller.user:
        yield f"anonymous:{address}", "this address without a key", limits.anonymous
    yield f"plan:{plan.name}", "this plan", plan.total
    yield f"address:{address}", "this address", limits.per_address
    for model in limits.models:
        if ask and ask.model == model.name:
            yield f"model:{model.name}", f"the model {model.name}", model.rates


def _rates(holder: str, of: str, rates: Rates, wanted: Wanted) -> Iterator[Charge]:
    if limit := rates.requests_per_minute:
        yield Charge(f"{holder}:requests", What.REQUESTS, min(limit, MOST), 1, of)
    ask = wanted.ask
    if not wanted.computes:
        return
    if (limit := rates.tokens_per_minute) and ask:
        limit = min(limit, MOST)
        # What the request did not name itself never makes it larger than a minute's whole.
        unnamed = ask.most is None and ask.prompt <= limit
        cost = min(wanted.tokens, limit) if unnamed else wanted.tokens
        yield Charge(f"{holder}:tokens", What.TOKENS, limit, cost, of)
    if limit := rates.concurrent_requests:
        yield Charge(f"{holder}:running", What.RUNNING, min(limit, MOST), 1, of)
    if (limit := rates.concurrent_streams) and ask and ask.streams:
        yield Charge(f"{holder}:streams", What.STREAMS, min(limit, MOST), 1, of)
