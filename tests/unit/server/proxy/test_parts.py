"""The proxy's parts that need no socket: bodies, events, the breaker, keys."""

import itertools
import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmservice_server.engines.proxy.body import BodyError, model_of, renamed
from llmservice_server.engines.proxy.breaker import Breaker
from llmservice_server.engines.proxy.events import Events

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("model"), inner),
    max_leaves=8,
)


@given(
    rest=st.dictionaries(st.text(), _json),
    model=st.text(min_size=1),
    name=st.text(),
    indent=st.none() | st.integers(0, 3),
)
def test_a_renamed_body_differs_in_its_model_alone(
    rest: dict[str, object], model: str, name: str, indent: int | None
) -> None:
    body = json.dumps(rest | {"model": model}, indent=indent).encode()
    assert model_of(body) == model
    assert json.loads(renamed(body, name)) == rest | {"model": name}
    assert renamed(body, model) == body


def test_a_body_that_is_too_deep_is_refused_and_not_a_crash() -> None:
    for depth in (900, 100_000):
        body = b'{"model":"m","x":' + b"[" * depth + b"]" * depth + b"}"
        with suppress(BodyError):
            assert model_of(body) == "m"
            assert b'"n"' in renamed(body, "n")
    with pytest.raises(BodyError):
        model_of(body)


_EVENTS = st.lists(st.sampled_from([b"data: a\n\n", b": ping\r\r", b"data: b\r\n\r\n"]), min_size=1)


@given(events=_EVENTS, cuts=st.lists(st.integers(0, 200)))
def test_events_are_forwarded_whole_and_nothing_is_lost(
    events: list[bytes], cuts: list[int]
) -> None:
    text = b"".join(events)
    at = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    taking = Events("/v1/other")
    out = [taking.whole(text[a:b]) for a, b in itertools.pairwise(at)]
    assert b"".join(out) + taking.rest() == text
    assert all(piece.endswith((b"\n\n", b"\r\r", b"\r\n\r\n")) for piece in out if piece)


def test_an_event_that_comes_in_drops_costs_no_more_than_in_one_piece() -> None:
    taking, drops = Events("/v1/other"), 60_000
    began = time.process_time()
    assert not any(taking.whole(b"x" * 16) for _ in range(drops))
    assert taking.whole(b"\r\n\r") == b""
    assert len(taking.whole(b"\n: next")) == drops * 16 + 4
    assert taking.rest() == b": next\n\n"
    assert time.process_time() - began < 5  # not all of it again for each drop


def test_a_breaker_opens_lets_one_try_and_waits_longer_each_time() -> None:
    breaker, now = Breaker(), 0.0
    for _ in range(4):
        assert not breaker.failed(now, trial=breaker.begin())
    breaker.succeeded()  # not in a row
    for _ in range(4):
        assert not breaker.failed(now, trial=breaker.begin())
    assert breaker.admits(now)
    waits = [breaker.failed(now, trial=breaker.begin())]
    for _ in range(6):
        assert not breaker.admits(now)
        assert not breaker.failed(now, trial=False)  # one that went out before
        now = breaker.until
        assert breaker.admits(now)
        trial = breaker.begin()
        assert trial
        assert not breaker.admits(now)
        waits.append(breaker.failed(now, trial=trial))
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    now = breaker.until
    breaker.abandoned(trial=breaker.begin())
    assert breaker.admits(now)
    breaker.succeeded()
    assert breaker.admits(0)
