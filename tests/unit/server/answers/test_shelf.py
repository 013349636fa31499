"""What is kept in memory is never more than its bounds, and never older than its time."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmservice_server.gateway.answers import shelf
from llmservice_server.gateway.answers.shelf import Shelf

_SECONDS, _NUMBER, _BYTES = 10, 4, 50
_name = st.sampled_from("abcdefgh")
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), _name, st.integers(0, 60)),
        st.tuples(st.just("get"), _name, st.just(0)),
        st.tuples(st.just("remove"), _name, st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.integers(1, 12)),
    ),
    max_size=40,
)


@given(_steps)
def test_it_is_within_its_bounds_and_gives_what_was_put_last(
    steps: list[tuple[str, str, int]],
) -> None:
    now = 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shelf, "monotonic", lambda: now)
        kept = Shelf[int](_SECONDS, _NUMBER, _BYTES)
        put: dict[str, tuple[int, int, float]] = {}  # the last one by each name, oldest first
        for at, (what, name, amount) in enumerate(steps):
            if what == "put":
                kept.put(name, at, amount)
                put.pop(name, None)
                put[name] = (at, amount, now)
            elif what == "remove":
                kept.remove(name)
                put.pop(name, None)
            elif what == "wait":
                now += amount
            elif (found := kept.get(name)) is not None:
                thing, _, since = put[name]
                assert found == thing
                assert now - since < _SECONDS
            sizes = {of: put[of][1] for of in put if kept.get(of) is not None}
            assert len(kept) <= _NUMBER
            assert sum(sizes.values()) <= kept.bytes <= _BYTES
            if what == "put" and amount <= _BYTES:  # it is not empty for fear of them
                assert kept.get(name) == at


def test_what_has_ended_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(shelf, "monotonic", lambda: now)
    kept = Shelf[Any](10, 100, 100)
    for name in "abc":
        kept.put(name, name, 20)
    now = 10.0
    kept.put("d", "d", 20)
    assert (len(kept), kept.bytes) == (1, 20)
