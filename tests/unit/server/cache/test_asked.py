"""What of a request decides its answer: one key for one meaning, and never for two callers."""

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmservice_server.config import ModelConfig, Plan, ServerConfig
from llmservice_server.gateway.cache.asked import Asked, Asking, Use
from llmservice_server.gateway.caller import Caller, note

from tests.unit.server.cache.engine import CHAT, PLAN
from tests.unit.server.small_engine import MODEL

if TYPE_CHECKING:
    from llmservice_server.gateway.asgi import Scope

_CONFIG = ServerConfig(model=MODEL)
_BODY = {"messages": [{"role": "user", "content": "hi"}], "temperature": 0, "max_tokens": 5}


def _asked(
    body: dict[str, Any] | None,
    caller: Caller | None = None,
    config: ServerConfig = _CONFIG,
    **scope: Any,
) -> Asked | None:
    made: Scope = {"type": "http", "method": "POST", "path": CHAT, "query_string": b"",
                   "headers": [], "state": {"document": body}, **scope}  # fmt: skip
    if caller:
        note(made, caller)
    return Asking(config).of(made)


def _key(body: dict[str, Any] | None, *words: Any, **scope: Any) -> str:
    asked = _asked(body, *words, **scope)
    assert asked
    assert asked.key
    return asked.key


def _ann(**parts: Any) -> Caller:
    return Caller(**{"address": "192.0.2.1", "plan": PLAN, "key": "k", "user": "ann", **parts})


def test_what_decides_nothing_is_not_in_the_key() -> None:
    key = _key(_BODY)
    for same in (
        dict(reversed(_BODY.items())),
        {**_BODY, "messages": [{"content": "hi", "role": "user"}]},
        {**_BODY, "temperature": 0.0, "max_tokens": 5.0},
        {**_BODY, "stream": False},
        {**_BODY, "user": "one of ours", "safety_identifier": "x", "prompt_cache_key": "y"},
    ):
        assert _key(same) == key
    named = {"document": _BODY, "model": "small"}  # as Sanitize notes where a request goes
    assert _key(None, state=named) == _key(
        None, state={**named, "document": {**_BODY, "model": ""}}
    )


def test_what_decides_something_is_in_the_key() -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {}}}
    turned = {"type": "object", "properties": {"b": {}, "a": {}}}
    others = [
        _BODY,
        {**_BODY, "stream": True},
        {**_BODY, "stream": True, "stream_options": {"include_usage": True}},
        {**_BODY, "max_tokens": 6},
        {**_BODY, "max_tokens": None},
        {**_BODY, "messages": [{"role": "user", "content": "Hi"}]},
        {**_BODY, "messages": [*_BODY["messages"], *_BODY["messages"]]},  # type: ignore[misc]
        {**_BODY, "messages": json.dumps(_BODY["messages"], sort_keys=True)},
        {**_BODY, "temperature": 0.5, "seed": 1},
        {**_BODY, "seed": 2},
        {**_BODY, "model": "french"},
        {**_BODY, "guided_json": schema},
        {**_BODY, "guided_json": turned},  # in whose order the model writes
        {**_BODY, "tools": [{"function": {"parameters": {"minimum": 0}}}]},
        {**_BODY, "tools": [{"function": {"parameters": {"minimum": 0.0}}}]},
    ]
    keys = [_key(body) for body in others]
    keys += [
        _key(_BODY, path="/v1/completions"),
        _key(_BODY, query_string=b"a=1"),
        _key(_BODY, headers=[(b"openai-beta", b"assistants=v2")]),
        _key(_BODY, path="/api/chat"),
        _key(_BODY, path="/api/chat", headers=[(b"accept", b"text/event-stream")]),
    ]
    assert len(set(keys)) == len(keys)


def test_no_two_tenants_share_a_key() -> None:
    callers = [
        _ann(),
        _ann(user="bob"),
        _ann(user=None, key=None),
        _ann(user=None, key=None, address="192.0.2.2"),
        _ann(user="address:192.0.2.1"),
    ]
    keys = [_key(_BODY, caller) for caller in callers]
    keys += [_key(_BODY, client=("192.0.2.1", 1)), _key(_BODY, client=("192.0.2.3", 1))]
    assert len(set(keys)) == len(keys) - 1  # who is not asked for is at an address, too
    assert keys[2] == keys[5]
    assert _key(_BODY, _ann(key="another")) == keys[0]
    assert _key(_BODY, _ann(address="192.0.2.9")) == keys[0]


def test_another_model_revision_or_way_to_serve_it_is_another_key() -> None:
    def config(**parts: Any) -> ServerConfig:
        model = {"uri": "hf://o/m", "source": "o/m", "served_name": "m", **parts.pop("model", {})}
        return ServerConfig(model=ModelConfig(**model), **parts)

    configs = [
        config(),
        config(model={"revision": "a"}),
        config(model={"revision": "b"}),
        config(model={"source": "o/n"}),
        config(engine={"args": {"dtype": "float32"}}),
        config(redis={"prefix": "other"}),
    ]
    keys = [_key(_BODY, None, one) for one in configs]
    assert len(set(keys)) == len(keys)
    assert _key(_BODY, None, config(port=81)) == keys[0]


def test_a_plan_that_bounds_answers_has_its_own() -> None:
    bounded = Plan(name="p", max_output_tokens=8)
    assert _key(_BODY, _ann()) != _key(_BODY, _ann(plan=bounded))
    assert _key(_BODY, _ann(plan=Plan(name="q"))) == _key(_BODY, _ann())


@pytest.mark.parametrize(
    ("path", "body", "kept"),
    [
        (CHAT, {"temperature": 0}, True),
        (CHAT, {"temperature": -0.0}, True),
        (CHAT, {"temperature": 0.1}, False),
        (CHAT, {"temperature": False}, False),
        (CHAT, {"temperature": "0"}, False),
        (CHAT, {}, False),
        (CHAT, {"seed": 7}, True),
        (CHAT, {"seed": None}, False),
        (CHAT, {"seed": True}, False),
        ("/predict", {"seed": 7}, False),  # which reads none
        ("/predict", {"temperature": 0}, True),
        ("/v1/embeddings", {}, True),
        ("/rerank", {}, True),
    ],
)
def test_only_what_would_come_again_is_kept(path: str, body: dict[str, Any], *, kept: bool) -> None:
    for plan, expected in (("deterministic", kept), ("always", True), ("never", False)):
        asked = _asked(body, _ann(plan=Plan(name="p", cache=plan)), path=path)
        assert asked
        assert (asked.use is Use.FULL) == expected
        assert bool(asked.key) == expected


@pytest.mark.parametrize("path", ["/v1/models", "/v1/responses", "/predict/batch", "/tokenize"])
def test_other_routes_are_not_the_caches(path: str) -> None:
    assert _asked(_BODY, path=path) is None
    assert _asked(_BODY, method="GET") is None


def test_a_conversation_that_goes_on_is_not_kept() -> None:
    for conversation, use in (("new", Use.BYPASS), (None, Use.FULL)):
        asked = _asked({**_BODY, "conversation_id": conversation}, path="/api/chat")
        assert asked
        assert asked.use is use


@pytest.mark.parametrize(
    ("control", "use"),
    [
        (b"no-cache", Use.REFRESH),
        (b"No-Cache , max-age=5", Use.REFRESH),
        (b"no-store", Use.BYPASS),
        (b"no-cache,no-store", Use.BYPASS),
        (b"max-age=5", Use.FULL),
        (b"no-cacheable", Use.FULL),
    ],
)
def test_what_a_client_says_of_caches_counts(control: bytes, use: Use) -> None:
    asked = _asked(_BODY, headers=[(b"cache-control", control)])
    assert asked
    assert asked.use is use


_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
_messages = st.lists(st.dictionaries(st.text(max_size=3), _values, max_size=3), max_size=3)
_bodies = st.dictionaries(
    st.text(max_size=3).filter(lambda name: name != "stream"), _values, max_size=4
)


def _shuffled(value: Any, rank: Any) -> Any:
    if isinstance(value, dict):
        names = sorted(value, key=rank)  # type: ignore[arg-type]
        return {name: _shuffled(value[name], rank) for name in names}
    return [_shuffled(inner, rank) for inner in value] if isinstance(value, list) else value  # type: ignore[misc]


@given(_bodies, _messages, st.randoms(use_true_random=False))
def test_the_order_of_fields_is_nothing_in_a_body_and_in_messages(
    body: dict[str, Any], messages: list[Any], random: Any
) -> None:
    ranks: dict[str, float] = {}

    def rank(name: str) -> float:
        return ranks.setdefault(name, random.random())

    whole = {**body, "temperature": 0, "messages": messages}
    turned = {name: whole[name] for name in sorted(whole, key=rank)}
    turned["messages"] = _shuffled(messages, rank)
    assert _key(turned) == _key(whole)


@given(_bodies, _bodies, _messages, _messages)
def test_one_key_means_one_thing(
    one: dict[str, Any], two: dict[str, Any], first: list[Any], second: list[Any]
) -> None:
    bodies = [
        {**body, "temperature": 0, "messages": messages}
        for body, messages in ((one, first), (two, second), (one, second), (two, first))
    ]
    keys = [_key(body) for body in bodies]
    for body, key in zip(bodies, keys, strict=True):
        assert all(body == other for other, same in zip(bodies, keys, strict=True) if key == same)
