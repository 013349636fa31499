"""Counters in memory, which are what those in Redis are held equal to: what is meant by them."""

import itertools
from datetime import UTC, datetime
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from llmservice_server.gateway.toll.clock import At, Clock, month_at
from llmservice_server.gateway.toll.counters import LEASE, MINUTE, Order, Seed, Spent, Verdict, What
from llmservice_server.gateway.toll.memory import Counts, MemoryCounters

from tests.unit.server.toll.words import charge, order, passed

_NOON = int(datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp() * 1000)


def _at(ms: int) -> At:
    month, ends = month_at(ms)
    return At(ms, month, ends - ms)


def _passed(counts: Counts, ms: int, asked: list[Order]) -> list[tuple[Order, Verdict]]:
    verdicts = [(one, counts.take(_at(ms), one)) for one in asked]
    return [(one, verdict) for one, verdict in verdicts if verdict.refused is None]


def test_a_minutes_requests_are_refilled_one_by_one() -> None:
    counts, requests = Counts(), charge(What.REQUESTS, 10)
    assert len(_passed(counts, _NOON, [order(requests) for _ in range(30)])) == 10
    refused = counts.take(_at(_NOON), order(requests))
    assert (refused.refused, refused.wait_ms, refused.left[0].left) == (0, 6000, 0)
    assert not _passed(counts, _NOON + 5999, [order(requests)])
    assert len(_passed(counts, _NOON + 6000, [order(requests)] * 3)) == 1
    assert len(_passed(counts, _NOON + 10 * MINUTE, [order(requests)] * 30)) == 10


def test_tokens_are_reserved_and_what_was_not_used_is_given_back() -> None:
    counts, tokens = Counts(), charge(What.TOKENS, 1000, 400)
    held = _passed(counts, _NOON, [order(tokens) for _ in range(3)])
    assert len(held) == 2
    counts.settle(_at(_NOON), *held[0], Spent(1, 100))
    assert counts.take(_at(_NOON), order(tokens)).refused is None
    # More than was reserved is a debt, which is worked off at the same pace, for a minute at most.
    counts.settle(_at(_NOON), *held[1], Spent(1, 100_000))
    small = order(charge(What.TOKENS, 1000, 1))
    assert counts.take(_at(_NOON + MINUTE), small).refused == 0
    assert counts.take(_at(_NOON + MINUTE + 60), small).refused is None


def test_all_of_an_order_is_taken_or_nothing_of_it() -> None:
    counts = Counts()
    plenty, scarce = charge(What.REQUESTS, 5), charge(What.RUNNING, 1)
    both = [order(plenty, scarce) for _ in range(9)]
    assert len(_passed(counts, _NOON, both)) == 1
    assert len(_passed(counts, _NOON, [order(plenty) for _ in range(9)])) == 4


def test_the_longest_wait_is_told() -> None:
    counts = Counts()
    month = charge(What.MONTH_REQUESTS, 1)
    first = order(charge(What.REQUESTS, 1), month, seed=Seed("2026-11", 0, 0))
    assert counts.take(_at(_NOON), first).refused is None
    verdict = counts.take(_at(_NOON), order(charge(What.REQUESTS, 1), month))
    assert (verdict.refused, verdict.wait_ms) == (1, 12 * 60 * MINUTE)


def test_a_quota_begins_anew_at_the_months_edge_and_what_runs_over_it_is_settled_before_it() -> (
    None
):
    counts = Counts()
    edge = _NOON + 12 * 60 * MINUTE
    tokens = charge(What.MONTH_TOKENS, 100, 60)
    long = order(tokens, seed=Seed("2026-11", 0, 0))
    verdict = counts.take(_at(edge - 1), long)
    assert verdict.refused is None
    assert counts.take(_at(edge - 1), order(tokens)).refused == 0
    assert counts.take(_at(edge), order(tokens)).unseeded
    after = order(tokens, seed=Seed("2026-12", 0, 0))
    assert counts.take(_at(edge), after).refused is None
    counts.settle(_at(edge), long, verdict, Spent(1, 10))
    assert counts.take(_at(edge), order(charge(What.MONTH_TOKENS, 100, 41))).refused == 0
    # A clock that goes back finds the old month as it was left, and no third one.
    assert counts.take(_at(edge - 1), order(charge(What.MONTH_TOKENS, 100, 90))).refused is None


def test_a_month_that_is_not_known_takes_nothing_until_somebody_says_what_was_used() -> None:
    counts = Counts()
    requests, month = charge(What.REQUESTS, 1), charge(What.MONTH_TOKENS, 100, 10)
    asked = order(requests, month)
    assert counts.take(_at(_NOON), asked).unseeded
    stale = asked._replace(seed=Seed("2026-10", 0, 0))
    assert counts.take(_at(_NOON), stale).unseeded
    assert counts.take(_at(_NOON), asked._replace(seed=Seed("2026-11", 3, 95))).refused == 1
    assert counts.take(_at(_NOON), order(requests)).refused is None  # nothing was taken before


_step = st.tuples(
    st.sampled_from(list(What)),
    st.integers(0, 30),
    st.sampled_from(["take", "take", "settle", "wait"]),
)


@given(st.lists(_step, max_size=80))
def test_no_limit_is_ever_exceeded_and_all_places_come_back(
    steps: list[tuple[What, int, str]],
) -> None:
    counts, now, limit = Counts(), _NOON, 40
    held: list[tuple[Order, Verdict]] = []
    month = 0
    for what, number, do in steps:
        if do == "wait":
            now += number * 997
        elif do == "settle" and held:
            one, verdict = held.pop(number % len(held))
            spent = Spent(1, min(number, one.charges[0].cost))
            counts.settle(_at(now), one, verdict, spent)
            if one.charges[0].what is What.MONTH_TOKENS:
                month += (spent.tokens or 0) - one.charges[0].cost
        elif do == "take":
            cost = number if "tokens" in what else 1
            one = order(charge(what, limit, cost), seed=Seed("2026-11", 0, 0))
            verdict = counts.take(_at(now), one)
            if verdict.refused is None:
                held.append((one, verdict))
                month += cost if what is What.MONTH_TOKENS else 0
        running = [one for one, _ in held if one.charges[0].what is What.RUNNING]
        assert len(running) <= limit
        assert month <= limit
    for one, verdict in held:
        counts.settle(_at(now), one, verdict, Spent(1, 0))
    for what in (What.RUNNING, What.STREAMS):
        assert counts.take(_at(now), order(charge(what, limit))).left[0].left == limit


def test_what_is_full_again_or_over_is_forgotten_and_the_rest_is_bounded() -> None:
    counts = Counts(most=1000)
    for number in range(5000):
        counts.take(_at(_NOON + number), order(charge(What.REQUESTS, 10, of=f"a{number}")))
    assert len(counts._buckets) <= 1001  # noqa: SLF001
    counts.take(_at(_NOON + 5000 + 2 * MINUTE), order(charge(What.REQUESTS, 10)))
    assert len(counts._buckets) == 1  # noqa: SLF001


class _Hands:
    """Two clocks that a test moves."""

    def __init__(self) -> None:
        self.monotonic, self.wall = 1000.0, _NOON / 1000
        self.clock = Clock(lambda: self.monotonic, lambda: self.wall)

    def go_on(self, seconds: float) -> At:
        at = self.clock.now()
        for _ in range(int(seconds)):
            self.monotonic, self.wall = self.monotonic + 1, self.wall + 1
            at = self.clock.now()
        return at


def test_a_date_that_jumps_for_a_moment_renews_no_quota() -> None:
    hands = _Hands()
    assert hands.go_on(3).month == "2026-11"
    for jump in (86_400, -86_400, 40 * 86_400, -40 * 86_400):
        hands.wall += jump
        assert hands.go_on(50).month == "2026-11"
        hands.wall -= jump
        assert hands.go_on(20).month == "2026-11"
    hands.wall += 86_400
    assert hands.go_on(58).month == "2026-11"
    assert hands.go_on(5).month == "2026-12"  # it stays, and so it is the date
    assert hands.go_on(86_400 * 0 + 10).month == "2026-12"


def test_minutes_go_on_whatever_the_date_does() -> None:
    hands = _Hands()
    before = hands.clock.now().ms
    hands.wall -= 10_000
    assert hands.go_on(7).ms - before == 7000


async def test_a_place_is_held_for_as_long_as_its_request_runs() -> None:
    now = SimpleNamespace(ms=0)
    counters = MemoryCounters(lambda: _at(_NOON + now.ms))
    running = charge(What.RUNNING, 1)
    ((long, verdict),) = await passed(counters, [order(running)])
    for now.ms in itertools.accumulate([LEASE - 1, LEASE + 1, 10 * LEASE]):
        assert not await passed(counters, [order(running)])
    counters.settle(long, verdict, Spent(1, 1))
    assert await passed(counters, [order(running)])
