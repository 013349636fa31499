"""What a request is taken to cost before it ran, and what it did cost after it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmservice_server.config import AnonymousRates, LimitsConfig, ModelRates, Plan, Rates
from llmservice_server.gateway.caller import Caller
from llmservice_server.gateway.identity.address import network
from llmservice_server.gateway.toll.charges import (
    UNNAMED,
    Wanted,
    beyond,
    bound,
    charges,
    reserved,
)
from llmservice_server.gateway.toll.counters import MOST, Charge, Spent, What
from llmservice_server.gateway.toll.estimate import Ask, ask_of, tokens
from llmservice_server.gateway.toll.spent import Outcome, spent, usage_of
from llmservice_server.gateway.usage import Usage

_PLAN = Plan(name="p")


def _ask(path: str, document: dict[str, Any] | None, query: bytes = b"") -> Ask:
    ask = ask_of(path, query, document)
    assert ask is not None
    return ask


@pytest.mark.parametrize(
    ("path", "body", "answers"),
    [
        ("/v1/chat/completions", {"max_tokens": 7}, 7),
        ("/v1/chat/completions", {"max_completion_tokens": 7}, 7),
        ("/v1/chat/completions", {"max_completion_tokens": 7, "max_tokens": 9, "n": 2}, 18),
        ("/v1/chat/completions", {"max_tokens": None}, UNNAMED),
        ("/v1/chat/completions", {"max_length": 7}, UNNAMED),  # no field of this route
        ("/v1/chat/completions", {"max_tokens": "7"}, 7),  # the engine takes these too
        ("/v1/chat/completions", {"max_tokens": 7.0}, 7),
        ("/v1/chat/completions", {"max_tokens": [7]}, UNNAMED),  # which the engine refuses
        ("/v1/chat/completions", {"max_tokens": -7}, 0),
        ("/v1/completions", {"max_tokens": 7, "prompt": ["a", "b", "c"], "n": 2}, 42),
        ("/v1/completions", {"max_tokens": 7, "prompt": [1, 2, 3], "best_of": 4}, 28),
        ("/v1/completions", {"max_tokens": 7, "prompt": [[1, 2], [3]]}, 14),
        ("/v1/completions", {"max_completion_tokens": 7}, UNNAMED),
        ("/v1/responses", {"max_output_tokens": 7}, 7),
        ("/v1/messages", {"max_tokens": 7}, 7),
        ("/inference", {"max_tokens": 7}, 7),
        ("/inference", {}, 256),
        ("/stream", {"max_tokens": 7}, 7),
        ("/api/v1/infer", {"max_tokens": 7}, 7),
        ("/api/chat", {"max_tokens": 7}, 7),
        ("/api/chat", {}, UNNAMED),
        ("/predict", {"max_length": 7}, 7),
        ("/predict", {}, 256),
        ("/predict/batch", {"max_length": 7, "prompts": ["a", "b", "c"]}, 21),
        ("/v1/embeddings", {"input": "x", "max_tokens": 7}, 0),
        ("/invocations", {"messages": [], "max_completion_tokens": 7}, 7),
        ("/invocations", {"prompt": "x", "max_completion_tokens": 7}, UNNAMED),
        ("/of/a/new/release", {}, UNNAMED),
    ],
)
def test_what_is_reserved_is_what_each_route_names(
    path: str, body: dict[str, Any], answers: int
) -> None:
    ask = _ask(path, body)
    assert reserved(ask, _PLAN) - ask.prompt == answers


def test_a_query_is_read_as_a_body() -> None:
    ask = _ask("/stream", None, b"prompt=The+capital&max_tokens=7")
    assert (ask.most, ask.streams, ask.answers) == (7, True, 1)
    assert reserved(_ask("/stream", None, b"prompt=x"), _PLAN) > 256
    assert ask_of("/v1/audio/transcriptions", b"", None) is None


@pytest.mark.parametrize("said", [True, "true", 1, "on"])
def test_a_stream_is_one_however_the_engine_is_asked_for_it(said: object) -> None:
    assert _ask("/v1/completions", {"stream": said}).streams
    assert not _ask("/v1/completions", {"stream": [said]}).streams


def test_four_bytes_of_text_are_a_token_and_a_picture_is_not_its_bytes() -> None:
    text = {"messages": [{"role": "user", "content": "x" * 4000}]}
    assert 1000 < tokens(text) < 1010
    assert 1500 < tokens({"messages": [{"role": "user", "content": "日" * 2000}]}) < 1510
    picture = {"url": "data:image/png;base64," + "A" * 100_000}
    assert 1000 < tokens({"content": [{"type": "image_url", "image_url": picture}]}) < 1020
    sound = {"input_audio": {"data": "A" * 100_000, "format": "wav"}}
    assert 1000 < tokens({"content": [sound]}) < 1020
    assert tokens({"prompt": list(range(500))}) == 502
    assert tokens({"prompt": [[1] * 10, [2] * 20]}) == 32


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_names = st.sampled_from(
    ["max_tokens", "max_completion_tokens", "n", "best_of", "prompt", "prompts", "stream", "model"]
)


@given(
    st.sampled_from(["/v1/chat/completions", "/v1/completions", "/predict/batch", "/stream", "/x"]),
    st.dictionaries(_names, _json),
)
def test_nonsense_is_estimated_too(path: str, document: dict[str, Any]) -> None:
    ask = _ask(path, document)
    assert reserved(ask, _PLAN) >= 0
    assert ask.most is None or ask.most >= 0


def test_a_plans_bounds_are_said_with_what_to_write_instead() -> None:
    plan = Plan(name="p", max_prompt_tokens=100, max_output_tokens=50)
    chat = "/v1/chat/completions"
    assert beyond(_ask(chat, {"max_tokens": 50}), plan) is None
    said = beyond(_ask(chat, {"max_tokens": 51}), plan)
    assert said is not None
    assert "max_tokens is 51" in said
    assert "write 50 or less" in said
    assert beyond(_ask("/predict", {"max_length": 51}), plan) is not None
    said = beyond(_ask(chat, {"messages": "x" * 500}), plan)
    assert said is not None
    assert "takes 100" in said
    # What is not named is the plan's, where the route's own is not less.
    assert bound(_ask(chat, {}), plan) == 50
    assert reserved(_ask(chat, {}), plan) == 50
    assert bound(_ask("/predict", {}), plan) == 50
    assert bound(_ask(chat, {"max_tokens": 5}), plan) is None
    assert bound(_ask("/predict", {}), Plan(name="p", max_output_tokens=500)) is None
    assert bound(_ask("/v1/embeddings", {"input": "x"}), plan) is None


_CHAT = _ask("/v1/chat/completions", {"max_tokens": 10, "model": "m", "stream": True})
_RATES = Rates(
    requests_per_minute=1, tokens_per_minute=2**50, concurrent_requests=3, concurrent_streams=4
)


def _made(
    caller: Caller, ask: Ask | None = _CHAT, limits: LimitsConfig | None = None, **parts: bool
) -> tuple[Charge, ...]:
    wanted = Wanted(ask, reserved(ask, caller.plan), parts.get("computes", True))
    return charges(caller, wanted, limits or LimitsConfig())


def test_each_holder_has_its_counters() -> None:
    limits = LimitsConfig(
        anonymous=AnonymousRates(**_RATES.model_dump()),
        per_address=_RATES,
        models=(ModelRates(name="m", rates=_RATES),),
    )
    plan = Plan(
        name="p",
        per_key=_RATES,
        per_user=_RATES,
        total=_RATES,
        monthly_requests=5,
        monthly_tokens=6,
    )
    known = _made(Caller("192.0.2.1", plan, key="k", user="u"), limits=limits)
    holders = {charge.counter.rpartition(":")[0] for charge in known}
    assert holders == {"key:k", "user:u", "plan:p", "address:192.0.2.1", "model:m"}
    assert len(known) == 5 * 4 + 2
    assert {charge.what for charge in known} == set(What)
    assert max(c.limit for c in known) == MOST
    nobody = _made(Caller("192.0.2.1", plan), limits=limits)
    holders = {charge.counter.rpartition(":")[0] for charge in nobody}
    assert holders == {"anonymous:192.0.2.1", "plan:p", "address:192.0.2.1", "model:m"}
    assert all("month" not in charge.what for charge in nobody)
    other = _made(Caller("192.0.2.1", plan, key="k"), _CHAT._replace(model="x"), limits)
    assert not any(charge.counter.startswith("model") for charge in other)


def test_ten_requests_a_minute_are_what_nobody_in_particular_may_ask_for() -> None:
    (only,) = _made(Caller("192.0.2.1", _PLAN))
    assert (only.what, only.limit) == (What.REQUESTS, 10)
    assert _made(Caller("192.0.2.1", _PLAN, key="k")) == ()
    assert _made(Caller("192.0.2.1", _PLAN, user="u")) == ()  # whom a provider knows


def test_what_the_engine_does_not_compute_is_a_request_and_no_more() -> None:
    plan = Plan(name="p", per_key=_RATES, monthly_requests=1, monthly_tokens=1)
    caller = Caller("192.0.2.1", plan, key="k", user="u")
    (only,) = _made(caller, None, computes=False)
    assert only.what is What.REQUESTS
    form = _made(caller, None)
    assert {c.what for c in form} == {What.REQUESTS, What.RUNNING, What.MONTH_REQUESTS}


def test_what_a_request_did_not_name_never_makes_it_larger_than_the_limit() -> None:
    caller = Caller("192.0.2.1", Plan(name="p", per_key=Rates(tokens_per_minute=100)), key="k")
    (unnamed,) = _made(caller, _ask("/v1/chat/completions", {}))
    assert unnamed.cost == 100
    (named,) = _made(caller, _ask("/v1/chat/completions", {"max_tokens": 500}))
    assert named.cost >= 500


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("somewhere", "somewhere"),
        ("", ""),
    ],
)
def test_of_ipv6_a_network_is_one_caller(address: str, same: str) -> None:
    assert network(address) == same


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome(200, Usage(3, 4)), Spent(1, 7)),
        (Outcome(200, Usage(3, 4), streaming=True, whole=False, left=True), Spent(1, 7)),
        # A client that left a stream pays for what it got; of what was not streamed nobody knows.
        (Outcome(200, None, streaming=True, whole=False, left=True, events=5), Spent(1, 15)),
        (Outcome(499, None, whole=False, left=True), Spent(1, None)),
        (Outcome(200, None, whole=False, left=True), Spent(1, None)),
        # It left while it waited for its turn, which admission says.
        (Outcome(499, Usage(0, 0), left=True), Spent(0, 0)),
        (Outcome(500, None), Spent(0, 0)),
        (Outcome(503, None), Spent(0, 0)),
        (Outcome(400, None), Spent(0, 0)),
        (Outcome(500, Usage(3, 2)), Spent(1, 5)),
        (Outcome(200, None, whole=False), Spent(0, 0)),  # the engine broke off
        (Outcome(200, None, streaming=True, whole=False), Spent(0, 0)),
        (Outcome(200, None, streaming=True, whole=False, left=True), Spent(1, 10)),
        (Outcome(200, None), Spent(1, 10)),
    ],
)
def test_what_was_spent_is_what_the_engine_says_and_else_what_is_known(
    outcome: Outcome, expected: Spent
) -> None:
    assert spent(outcome, usage_of(outcome, prompt=10)) == expected
